package main

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/oip"
	"github.com/trustbook/trustbook/internal/oracle"
)

// remoteFolder holds arrays for a linear classifier of images [4, 5] in four classes that a server serves, and the arguments
// of an attack on it.
func remoteFolder(t *testing.T, s *oip.Server) (dir string, args []string) {
	t.Helper()
	const n = 20
	l := oracle.RandomLinear(20, 4, 5)
	s.Name, s.Shape = "digits", []int{4, 5}
	s.Scores = func(x []float32) []float32 {
		z := append([]float32{}, l.B...)
		for j, w := range l.W {
			for k := range z {
				z[k] += w[k] * x[j]
			}
		}
		return z
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	x, y := make([]float32, n*20), make([]int64, n)
	for i := range x {
		x[i] = float32(i*37%101) / 100
	}
	for i := range y {
		y[i] = int64(l.Predict(x[i*20 : (i+1)*20]))
	}
	y[0] = (y[0] + 1) % 4
	dir = t.TempDir()
	saveArray(t, filepath.Join(dir, "x.npy"), x, n, 4, 5)
	saveArray(t, filepath.Join(dir, "y.npy"), y, n)
	return dir, []string{"attack", "--url", server.URL, "--model-name", "digits", "--inputs", "x.npy", "--labels", "y.npy",
		"--attack", "square", "--epsilon", "0.05", "--queries", "40", "--timeout", "20s", "--backend", "go"} // which compiles nothing
}

// remoteOutput is the part of the JSON that the server's counts are compared with.
type remoteOutput struct {
	attackOutput
	Attacked  int      `json:"attacked"`
	MeanAsked float64  `json:"queries_per_example"`
	Notes     []string `json:"notes"`
	Endpoint  struct {
		Name, Answers string
		Asked         struct{ Rows, Logged, Lost, Requests, Retries int }
		Referee       int
	} `json:"endpoint"`
}

func remoteAttack(t *testing.T, dir string, args []string) (out remoteOutput) {
	t.Helper()
	got := trustbook(t, dir, append(args, "--json")...)
	require.Equal(t, fine, got.status, got.stderr)
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &out))
	require.Positive(t, out.SuccessRate)
	return out
}

// `trustbook attack --url`: what is reported is what the server counted, whatever the server does, and a log is asked first.
func TestAttackRemote(t *testing.T) {
	good := &oip.Server{Answers: "probabilities"}
	dir, args := remoteFolder(t, good)
	want := remoteAttack(t, dir, args)
	require.Equal(t, 0.95, want.CleanAccuracy)
	require.Equal(t, "probabilities", want.Endpoint.Answers)
	require.Contains(t, want.Notes[0], "answers of digits are taken for probabilities of 4 classes")
	require.Equal(t, 40, want.Endpoint.Referee)
	const looked = 8
	booked := int(want.MeanAsked*float64(want.Attacked) + 0.5)
	require.Equal(t, looked+40+booked, want.Endpoint.Asked.Rows)
	require.Equal(t, good.Counts().Received, want.Endpoint.Asked.Rows)
	require.Zero(t, want.Endpoint.Asked.Lost)

	bad := &oip.Server{Answers: "probabilities",
		Trouble: oip.Troubles("none busy none none drop none down none malformed none none short none cut none broken slow")}
	dir, args = remoteFolder(t, bad)
	args = append(args, "--answer-log", "answers.log", "--concurrency", "2", "--batch-size", "8", "--seed", "0")
	got := remoteAttack(t, dir, args)
	require.Equal(t, want.attackOutput, got.attackOutput)
	require.Equal(t, want.MeanAsked, got.MeanAsked)
	require.Equal(t, bad.Counts().Answered, got.Endpoint.Asked.Rows)
	require.Equal(t, bad.Counts().Received, got.Endpoint.Asked.Rows+got.Endpoint.Asked.Lost)
	require.Equal(t, looked+40+booked, got.Endpoint.Asked.Rows+got.Endpoint.Asked.Logged)
	require.Zero(t, bad.Counts().Twice)
	before := bad.Counts()
	again := remoteAttack(t, dir, args)
	require.Equal(t, before, bad.Counts(), "the log has all answers")
	require.Equal(t, want.attackOutput, again.attackOutput)

	words := trustbook(t, dir, append(args, "--out", "adv.npy")...)
	require.Equal(t, fine, words.status, words.stderr)
	require.Contains(t, words.stdout, "Asked digits at http://127.0.0.1:")
	require.Contains(t, words.stdout, "answers came from the log; 40 questions were the referee's\n")
	require.Contains(t, words.stdout, "Note: answers of digits are taken for probabilities")
}

// An attack that was stopped goes on where it was, and asks nothing twice.
func TestAttackRemoteResumes(t *testing.T) {
	want := func() remoteOutput {
		dir, args := remoteFolder(t, &oip.Server{})
		return remoteAttack(t, dir, args)
	}()
	server := &oip.Server{Trouble: oip.Troubles("slow")}
	dir, args := remoteFolder(t, server)
	args = append(args, "--answer-log", "answers.log")
	c := command(dir, args...)
	var stderr strings.Builder
	c.Stderr = &stderr
	require.NoError(t, c.Start())
	require.Eventually(t, func() bool { return server.Counts().Requests > 8 }, 20*time.Second, 5*time.Millisecond)
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	require.Error(t, c.Wait())
	require.Contains(t, stderr.String(), "trustbook: stopped; to go on from here: trustbook attack --url")
	stopped := server.Counts()
	got := remoteAttack(t, dir, args)
	require.Equal(t, want.attackOutput, got.attackOutput)
	require.Equal(t, want.MeanAsked, got.MeanAsked)
	require.Zero(t, server.Counts().Twice)
	require.Equal(t, server.Counts().Answered, stopped.Answered+got.Endpoint.Asked.Rows)
	require.Positive(t, got.Endpoint.Asked.Logged)
}

// What no endpoint answers, and flags that do not go together, are refused by one line and status 2; a server that cannot be
// used ends with one line and status 1.
func TestAttackRemoteRefuses(t *testing.T) {
	labels := &oip.Server{Answers: "labels", Authorization: "Bearer sesame"}
	dir, good := remoteFolder(t, labels)
	t.Setenv("TRUSTBOOK_TEST_TOKEN", "Bearer sesame")
	t.Setenv("TRUSTBOOK_TEST_WRONG", "Bearer wrongword")
	good = append(good, "--authorization-from", "TRUSTBOOK_TEST_TOKEN", "--retries", "1")
	saveArray(t, filepath.Join(dir, "wide.npy"), make([]float32, 20*30), 20, 5, 6)
	saveArray(t, filepath.Join(dir, "bright.npy"), append(make([]float32, 20*20-1), 3), 20, 4, 5)
	for _, c := range []struct {
		flag, value string
		status      int
		words       []string
	}{
		{"--attack", "square", wrongUse, []string{"--attack square", "needs scores", "digits at http://", "answers labels only"}},
		{"--model", "m.onnx", wrongUse, []string{"--model and --url: give one of them"}},
		{"--url", "localhost:80", wrongUse, []string{"want http://HOST:PORT"}},
		{"--url", "http://user:pw@localhost", wrongUse, []string{"leave it out"}},
		{"--answers", "guess", wrongUse, []string{"--answers guess: want logits, probabilities or labels"}},
		{"--input-shape", "a,b", wrongUse, []string{"--input-shape a,b"}},
		{"--input-shape", "7", wrongUse, []string{"[7]", "[4 5]"}},
		{"--timeout", "-1s", wrongUse, []string{"--timeout -1s"}},
		{"--retries", "-1", wrongUse, []string{"--retries -1: must be at least 0"}},
		{"--concurrency", "0", wrongUse, []string{"--concurrency 0"}},
		{"--classes", "1", wrongUse, []string{"--classes 1"}},
		{"--rate", "-2", wrongUse, []string{"--rate -2"}},
		{"--query-budget", "0", wrongUse, []string{"--query-budget 0"}},
		{"--answer-log", "x.npy", wrongUse, []string{"--answer-log x.npy: is the file of --inputs"}},
		{"--authorization-from", "TRUSTBOOK_NOT_SET", wrongUse, []string{"TRUSTBOOK_NOT_SET is not set"}},
		{"--inputs", "bright.npy", wrongUse, []string{"--inputs bright.npy", "[0, 1]"}},
		{"--inputs", "wide.npy", failed, []string{"takes inputs of shape [-1 4 5], not examples of shape [5 6]"}},
		{"--model-name", "letters", failed, []string{"/v2/models/letters: the server knows no such model"}},
		{"--authorization-from", "TRUSTBOOK_TEST_WRONG", failed, []string{"status 401 Unauthorized: not with …"}},
	} {
		t.Run(c.flag+c.value, func(t *testing.T) { fails(t, dir, command(dir, with(good, c.flag, c.value)...), c.status, c.words...) })
	}
	for _, c := range [][]string{{"pgd", "gradients"}, {"autoattack", "gradients"}, {"fab", "gradients"}} {
		args := []string{"attack", "--url", "http://localhost:1", "--model-name", "digits", "--inputs", "x.npy", "--labels", "y.npy",
			"--epsilon", "0.1", "--attack", c[0]}
		fails(t, dir, command(dir, args...), wrongUse, "--attack "+c[0]+": needs gradients, which no endpoint gives; with --url: square")
	}
	local := []string{"attack", "--inputs", "x.npy", "--labels", "y.npy", "--epsilon", "0.1"}
	fails(t, dir, command(dir, local...), wrongUse, "--model FILE", "--url URL")
	fails(t, dir, command(dir, append(local, "--model", "m.onnx", "--rate", "3")...), wrongUse, "--rate: is for a model behind --url")
	fails(t, dir, command(dir, append(local, "--url", "http://localhost:1", "--attack", "square")...), wrongUse, "--model-name")

	dir, good = remoteFolder(t, &oip.Server{Trouble: oip.Troubles("none none none none malformed malformed malformed")})
	for _, c := range [][]string{
		{"--retries", "2", "trustbook: robust: square(queries=40, p=0.8, restarts=1): remote: http://127.0.0.1:",
			"/v2/models/digits: gave up after 3 tries: the answer is no JSON of the protocol"},
		{"--query-budget", "90", "the budget of rows is used up", "of 90 asked"},
	} {
		got := trustbook(t, dir, append(good, c[:2]...)...)
		require.Equal(t, failed, got.status)
		require.Empty(t, got.stdout)
		require.Contains(t, got.stderr, c[2])
		require.Contains(t, got.stderr, c[3])
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "text"), []byte("some text that is no log"), 0o600))
	fails(t, dir, command(dir, append(good, "--answer-log", "text")...), failed, "text is no answer log")
}
