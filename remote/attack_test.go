package remote_test

import (
	"context"
	"encoding/binary"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/oip"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/remote"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

var _ robust.Remote = (*remote.Client)(nil)

// network is a small network, images that it is attacked on, and what it answers here.
func network(t *testing.T) (m *nets.Model, p robust.Problem, scores func([]float32) []float32) {
	t.Helper()
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{6, 6, 1}, Hidden: []int{12}, Classes: 4, Seed: 3})
	require.NoError(t, err)
	one, err := robust.NewVictim(testengine.Quick(t), m, 1)
	require.NoError(t, err)
	x := make([]float32, 16*36)
	for i := range x {
		x[i] = float32(i*29%97) / 96
	}
	p = robust.Problem{Images: tensors.FromFlatDataAndDimensions(x, 16, 6, 6, 1), Threat: robust.Threat{Norm: robust.Linf, Epsilon: 0.1}}
	return m, p, func(x []float32) []float32 {
		found, err := one.Query(context.Background(), []int{0}, x)
		if err != nil {
			panic(err)
		}
		return found.Logits
	}
}

// A network behind a server falls to the same attack as the network itself, whether the server is good, bad or stopped at.
func TestAttackNetwork(t *testing.T) {
	m, p, scores := network(t)
	here, err := robust.NewVictim(testengine.Quick(t), m, 16)
	require.NoError(t, err)
	square := attack.SquareAttack{Queries: 40}
	want, err := robust.Evaluate(t.Context(), here, square, p)
	require.NoError(t, err)
	require.Positive(t, want.SuccessRate)
	require.Less(t, want.SuccessRate, 1.0)

	ctx, stop := context.WithCancel(t.Context())
	troubles := oip.Troubles("none none none drop none busy none cut none down malformed none none short slow none")
	server := &oip.Server{Shape: []int{6, 6, 1}, Scores: scores, Trouble: func(i int) oip.Fault {
		if i == 25 {
			stop()
		}
		return troubles(i)
	}}
	cfg := serve(t, server)
	cfg.Shape, cfg.Log, cfg.Retries = []int{6, 6, 1}, filepath.Join(t.TempDir(), "log"), 20
	run := func(ctx context.Context) (*robust.Outcome, remote.Stats, error) {
		client, err := remote.Open(t.Context(), cfg)
		require.NoError(t, err)
		defer client.Close()
		x := tensors.MustCopyFlatData[float32](p.Images)
		require.NoError(t, client.Look(t.Context(), x, 16))
		v, err := robust.NewRemoteVictim(testengine.Quick(t), client, m.InputShape, m.Lower, m.Upper, 16)
		require.NoError(t, err)
		o, err := robust.Evaluate(ctx, v, square, p)
		return o, client.Stats(), err
	}
	_, first, err := run(ctx)
	require.ErrorIs(t, err, context.Canceled)
	got, second, err := run(t.Context())
	require.NoError(t, err)

	require.Equal(t, want.Success, got.Success)
	require.Equal(t, want.Queries, got.Queries)
	require.InDeltaSlice(t, tensors.MustCopyFlatData[float32](want.Perturbed), tensors.MustCopyFlatData[float32](got.Perturbed), 1e-6)
	booked := 8 + got.Referee
	for _, q := range got.Queries {
		require.LessOrEqual(t, q, int64(40))
		booked += q
	}
	counts := server.Counts()
	require.Equal(t, booked, second.Rows+second.Logged)
	require.EqualValues(t, counts.Answered, first.Rows+second.Rows)
	require.EqualValues(t, counts.Received, first.Rows+first.Lost+second.Rows+second.Lost)
	require.Zero(t, counts.Twice)
	require.Positive(t, first.Rows)
	require.Less(t, second.Rows, booked)
}

// A classifier of scikit-learn that MLServer serves answers as in Python, and is attacked; where MLServer is found.
func TestMLServer(t *testing.T) {
	python := os.Getenv("BENCH_PYTHON")
	if python == "" {
		t.Skip("BENCH_PYTHON is not set: want a Python with mlserver and mlserver-sklearn")
	}
	if exec.Command(python, "-c", "import mlserver, mlserver_sklearn").Run() != nil {
		t.Skip("no mlserver and mlserver-sklearn in " + python)
	}
	url, x, p := mlserver(t, python)
	cfg := remote.Config{URL: url, Model: "digits", Shape: []int{8, 8}, InputShape: []int{64}, Classes: 10}
	client := open(t, cfg)
	_, labels, err := client.Ask(t.Context(), x, 20)
	require.NoError(t, err)
	require.Equal(t, remote.Labels, client.Answers())

	cfg.Output = "predict_proba"
	client = open(t, cfg)
	require.NoError(t, client.Look(t.Context(), x, 20))
	require.Equal(t, remote.Probabilities, client.Answers())
	logits, classes, err := client.Ask(t.Context(), x, 20)
	require.NoError(t, err)
	require.Equal(t, labels, classes)
	for i, z := range logits {
		require.InDelta(t, math.Log(p[i]), z, 1e-3)
	}
	v, err := robust.NewRemoteVictim(testengine.Quick(t), client, []int{8, 8}, 0, 1, 20)
	require.NoError(t, err)
	before := client.Stats().Rows
	o, err := robust.Evaluate(t.Context(), v, attack.SquareAttack{Queries: 100}, robust.Problem{
		Images: tensors.FromFlatDataAndDimensions(x, 20, 8, 8), Threat: robust.Threat{Norm: robust.Linf, Epsilon: 0.2}})
	require.NoError(t, err)
	require.Greater(t, o.SuccessRate, 0.5)
	booked := o.Referee
	for _, q := range o.Queries {
		booked += q
	}
	require.Equal(t, booked, client.Stats().Rows-before)
}

// mlserver starts a server, and returns twenty images and their probabilities as scikit-learn tells them.
func mlserver(t *testing.T, python string) (url string, x []float32, p []float64) {
	t.Helper()
	folder := t.TempDir()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := free.Addr().(*net.TCPAddr).Port
	require.NoError(t, free.Close())
	out, err := exec.Command(python, "testdata/digits.py", folder, strconv.Itoa(port)).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for name, into := range map[string]any{"x.f32": &x, "p.f64": &p} {
		data, err := os.ReadFile(filepath.Join(folder, name))
		require.NoError(t, err)
		switch into := into.(type) {
		case *[]float32:
			*into = make([]float32, len(data)/4)
			_, err = binary.Decode(data, binary.LittleEndian, *into)
		case *[]float64:
			*into = make([]float64, len(data)/8)
			_, err = binary.Decode(data, binary.LittleEndian, *into)
		}
		require.NoError(t, err)
	}
	c := exec.Command(python, "-m", "mlserver", "start", folder)
	if found := filepath.Join(filepath.Dir(python), "mlserver"); exec.Command(found, "--version").Run() == nil {
		c = exec.Command(found, "start", folder)
	}
	log, err := os.Create(filepath.Join(folder, "log"))
	require.NoError(t, err)
	c.Stdout, c.Stderr = log, log
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		_ = c.Wait()
		log.Close()
		if said, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("mlserver said: %s", said)
		}
	})
	url = "http://127.0.0.1:" + strconv.Itoa(port)
	require.Eventually(t, func() bool {
		r, err := http.Get(url + "/v2/models/digits/ready")
		if err == nil {
			r.Body.Close()
		}
		return err == nil && r.StatusCode == http.StatusOK
	}, 2*time.Minute, 100*time.Millisecond)
	return url, x, p
}
