package fit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gomlx/compute/dtypes"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// twoPhases is a run with everything that a checkpoint must hold: two phases, random numbers, validation.
func twoPhases() (Data, Config) {
	validation := blobs(70, 2)
	return blobs(100, 1), Config{BatchSize: 16, Seed: 5, LearningRate: 3e-3, Validation: &validation,
		WeightDecay: 0.05, Cosine: true, WarmUpSteps: 4,
		Phases: []Phase{{2, noisy()}, {3, CrossEntropy()}}}
}

// Stopped after any step and called again with the same arguments, a run ends as if nothing had happened.
func TestCancelAndResume(t *testing.T) {
	e := testengine.Quick(t)
	train, c := twoPhases()
	undisturbed := mlp(t, 1)
	want, err := Train(context.Background(), e, undisturbed, train, c)
	require.NoError(t, err)
	const stepsPerEpoch = 6

	m, dir := mlp(t, 1), t.TempDir()
	initial := weights(t, m)
	// Among the steps to stop at are the last of an epoch (6), the last of a phase (12) and neighbors.
	done := 0
	for _, stop := range []int{1, 6, 8, 12, 13, 25, 29} {
		ctx, cancel := context.WithCancel(context.Background())
		p := &counter{each: func(int) {
			if done++; done == stop {
				cancel()
			}
		}}
		_, err := TrainOrLoad(ctx, e, m, train, c, Options{Dir: dir, Progress: p})
		cancel()
		require.ErrorIs(t, err, context.Canceled, "stop %d", stop)
		require.Equal(t, initial, weights(t, m), "a stopped run leaves the weights alone")
	}
	p := &counter{}
	got, err := TrainOrLoad(context.Background(), e, m, train, c, Options{Dir: dir, Progress: p})
	require.NoError(t, err)
	assert.Equal(t, 29-2*stepsPerEpoch, p.first, "progress resumes at the step reached in phase 2")
	assert.Equal(t, 18, p.last)
	assert.Equal(t, []string{"train MLP 36-16-3, phase 2/2"}, p.tasks)
	assert.Equal(t, want, got)
	assert.Equal(t, weights(t, undisturbed), weights(t, m))

	again := mlp(t, 1)
	p = &counter{}
	got, err = TrainOrLoad(context.Background(), e, again, train, c, Options{Dir: dir, Progress: p})
	require.NoError(t, err)
	assert.Empty(t, p.tasks, "a finished run is loaded, not repeated")
	assert.Equal(t, want, got)
	assert.Equal(t, weights(t, undisturbed), weights(t, again))
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, files, 1)
}

// childFolder tells a process started by TestKilled to train there instead of running tests.
const childFolder = "FIT_TEST_CHILD_FOLDER"

func TestKilledChild(t *testing.T) {
	dir := os.Getenv(childFolder)
	if dir == "" {
		return // not a child: TestKilled is the test
	}
	train, c := killRun()
	m := mlp(t, 1)
	p := &counter{each: func(int) { time.Sleep(time.Millisecond) }} // so that kills fall all over the run
	_, err := TrainOrLoad(context.Background(), testengine.Quick(t), m, train, c, Options{Dir: dir, Progress: p, CheckpointEvery: -1})
	require.NoError(t, err)
	fmt.Printf("finished %s from %d\n", Hash(weights(t, m)), p.first)
}

func killRun() (Data, Config) {
	train, c := twoPhases()
	c.Phases = []Phase{{30, noisy()}, {40, CrossEntropy()}}
	return train, c
}

// Killed at random moments, most of them while a checkpoint is being written, a run still ends with the same weights.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	e := testengine.Quick(t)
	train, c := killRun()
	m, want := mlp(t, 1), t.TempDir()
	_, err := TrainOrLoad(context.Background(), e, m, train, c, Options{Dir: want})
	require.NoError(t, err)

	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 1))
	resumed, kills := 0, 0
	for attempt := 0; ; attempt++ {
		require.Less(t, attempt, 60, "the run must end some day")
		var out bytes.Buffer
		child := exec.Command(os.Args[0], "-test.run=^TestKilledChild$", "-test.v")
		child.Env = append(os.Environ(), childFolder+"="+dir)
		child.Stdout, child.Stderr = &out, &out
		require.NoError(t, child.Start())
		before := progressOf(t, dir)
		exited := make(chan error, 1)
		go func() { exited <- child.Wait() }()
		if attempt < 6 {
			waitForWrite(dir, before, exited) // the start takes most of the time: kill only once it trains
			time.Sleep(time.Duration(rng.IntN(60_000)) * time.Microsecond)
			_ = child.Process.Kill()
		}
		err := <-exited
		if err == nil {
			require.Contains(t, out.String(), "finished "+Hash(weights(t, m)), out.String())
			break
		}
		if attempt >= 6 {
			t.Fatalf("child failed: %v\n%s", err, out.String())
		}
		kills++
		if before != nil {
			resumed++
		}
	}
	t.Logf("%d kills, %d starts from a checkpoint", kills, resumed)
	assert.GreaterOrEqual(t, kills, 3, "kills that hit a running process")
	assert.GreaterOrEqual(t, resumed, 2, "starts that found a checkpoint")
	same(t, want, dir)
}

// progressOf returns the checkpoint's bytes, or nil.
func progressOf(t *testing.T, dir string) []byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "fit-*.bin"))
	require.NoError(t, err)
	if len(files) == 0 {
		return nil
	}
	data, err := os.ReadFile(files[0])
	require.NoError(t, err)
	return data
}

// waitForWrite waits until the checkpoint differs from what it was.
func waitForWrite(dir string, before []byte, exited chan error) {
	for range 30_000 {
		files, _ := filepath.Glob(filepath.Join(dir, "fit-*.bin"))
		if len(files) > 0 {
			if now, _ := os.ReadFile(files[0]); !bytes.Equal(now, before) {
				return
			}
		}
		if len(exited) > 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// same compares two folders' files, names and bytes.
func same(t *testing.T, want, got string) {
	t.Helper()
	a, err := os.ReadDir(want)
	require.NoError(t, err)
	b, err := os.ReadDir(got)
	require.NoError(t, err)
	require.Len(t, b, len(a), "leftovers: %v", b)
	for i := range a {
		require.Equal(t, a[i].Name(), b[i].Name())
		x, err := os.ReadFile(filepath.Join(want, a[i].Name()))
		require.NoError(t, err)
		y, err := os.ReadFile(filepath.Join(got, b[i].Name()))
		require.NoError(t, err)
		require.True(t, bytes.Equal(x, y), "%s differs", a[i].Name())
	}
}

// A checkpoint that is damaged, cut off, empty or another run's is not believed: training starts anew.
func TestDamagedCheckpoint(t *testing.T) {
	e := testengine.Quick(t)
	train, c := twoPhases()
	c.Phases = c.Phases[:1]
	reference := mlp(t, 1)
	good := t.TempDir()
	_, err := TrainOrLoad(context.Background(), e, reference, train, c, Options{Dir: good})
	require.NoError(t, err)
	data := progressOf(t, good)
	key, err := Key(mlp(t, 1), e.Name(), train, c)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "fit-"+key+".bin")
	read := func(content []byte) *checkpoint {
		require.NoError(t, os.WriteFile(path, content, 0o644))
		found, err := readCheckpoint(path, key)
		require.NoError(t, err)
		return found
	}
	require.NotNil(t, read(data))
	assert.Nil(t, read(nil))
	for n := 0; n < len(data); n += 1 + len(data)/50 {
		assert.Nil(t, read(data[:n]), "cut off after %d bytes", n)
		flipped := bytes.Clone(data)
		flipped[n] ^= 1
		assert.Nil(t, read(flipped), "bit flipped in byte %d", n)
	}
	assert.Nil(t, read(append(bytes.Clone(data), 0)), "a byte too many")

	c2 := read(data)
	c2.Key = "another"
	require.NoError(t, c2.write(path))
	found, err := readCheckpoint(path, key)
	require.NoError(t, err)
	assert.Nil(t, found, "another run's")

	// A position that the run cannot have, in a file that is whole: training starts anew as well.
	c2.Key, c2.Done, c2.Step = key, false, 700
	require.NoError(t, c2.write(path))
	m, p := mlp(t, 1), &counter{}
	_, err = TrainOrLoad(context.Background(), e, m, train, c, Options{Dir: filepath.Dir(path), Progress: p})
	require.NoError(t, err)
	assert.Equal(t, 0, p.first)
	assert.Equal(t, weights(t, reference), weights(t, m))
	same(t, good, filepath.Dir(path))

	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o755))
	_, err = TrainOrLoad(context.Background(), e, mlp(t, 1), train, c, Options{Dir: filepath.Dir(path)})
	require.ErrorContains(t, err, "checkpoint", "what cannot be read is an error")
}

// A network that was finished in the format before is loaded; what was under way counts as absent.
func TestOldFormat(t *testing.T) {
	e := testengine.Quick(t)
	train, c := twoPhases()
	m, dir := mlp(t, 1), t.TempDir()
	initial := weights(t, m)
	key, err := Key(m, e.Name(), train, c)
	require.NoError(t, err)
	trained, err := InStore(mlp(t, 7).Store).Collect() // anything
	require.NoError(t, err)
	old := struct {
		Key                string
		Done               bool
		Phase, Epoch, Step int
		History            History
		Variables          []Variable
	}{key, true, 2, 0, 0, History{Loss: []float64{3, 2}, TrainAccuracy: []float64{0.5, 0.25}}, trained}
	write := func() {
		var body bytes.Buffer
		require.NoError(t, gob.NewEncoder(&body).Encode(old))
		sum := sha256.Sum256(body.Bytes())
		data := append(append([]byte("trustbook fit 2\n"), sum[:]...), body.Bytes()...)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "fit-"+key+".bin"), data, 0o644))
	}
	write()
	p := &counter{}
	h, err := TrainOrLoad(t.Context(), e, m, train, c, Options{Dir: dir, Progress: p})
	require.NoError(t, err)
	require.Empty(t, p.tasks)
	require.Equal(t, &old.History, h)
	require.Equal(t, weights(t, mlp(t, 7)), weights(t, m))

	old.Done = false
	write()
	m = mlp(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	p = &counter{each: func(int) { cancel() }}
	_, err = TrainOrLoad(ctx, e, m, train, c, Options{Dir: dir, Progress: p})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 0, p.first)
	require.Equal(t, initial, weights(t, m))
}

func FuzzDecode(f *testing.F) {
	c := checkpoint{Key: "k", Step: 3, Notes: []byte(`{"loss":[1]}`), Variables: []Variable{
		{Path: "/w", DType: int32(dtypes.Float32), Dims: []int{2, 1}, Bytes: make([]byte, 8)}}}
	path := filepath.Join(f.TempDir(), "c")
	if err := c.write(path); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[len(magic)+32:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := decode(body)
		if err != nil {
			if c, err = decodeOld(body); err != nil {
				return
			}
		}
		for _, v := range c.Variables {
			if _, err := v.Tensor(); err != nil {
				t.Fatalf("accepted %q %v of type %d, then: %v", v.Path, v.Dims, v.DType, err)
			}
		}
	})
}

// The running averages of batch normalization are trained, checkpointed and delivered along with the weights.
func TestRunningAveragesResume(t *testing.T) {
	e, train := testengine.Quick(t), blobs(64, 1)
	c := Config{BatchSize: 16, Seed: 5, Phases: []Phase{{1, noisy()}, {2, CrossEntropy()}}, Validation: &train}
	residual := func() *nets.Model {
		m, err := nets.NewResNet(nets.ResNetConfig{Input: []int{6, 6, 1}, Channels: []int{4}, Classes: 3, Seed: 1})
		require.NoError(t, err)
		return m
	}
	everything := func(m *nets.Model) []float32 {
		all := *m
		all.WeightPaths = append(slices.Clone(m.WeightPaths), m.StatePaths...)
		return weights(t, &all)
	}
	undisturbed := residual()
	initial := everything(undisturbed)
	want, err := Train(context.Background(), e, undisturbed, train, c)
	require.NoError(t, err)
	state := len(initial) - undisturbed.NumParameters()
	require.NotZero(t, state)
	trained := everything(undisturbed)
	for i := len(initial) - state; i < len(initial); i++ {
		require.NotEqual(t, initial[i], trained[i], "running average %d never moved", i)
	}

	m, dir, done := residual(), t.TempDir(), 0
	for _, stop := range []int{2, 7} {
		ctx, cancel := context.WithCancel(context.Background())
		p := &counter{each: func(int) {
			if done++; done == stop {
				cancel()
			}
		}}
		_, err := TrainOrLoad(ctx, e, m, train, c, Options{Dir: dir, Progress: p})
		cancel()
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, initial, everything(m), "a stopped run leaves the model alone")
	}
	got, err := TrainOrLoad(context.Background(), e, m, train, c, Options{Dir: dir})
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, trained, everything(m))
	loaded := residual()
	_, err = TrainOrLoad(context.Background(), e, loaded, train, c, Options{Dir: dir})
	require.NoError(t, err)
	require.Equal(t, trained, everything(loaded), "loaded, not trained again")
}
