package watermark

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/oip"
	"github.com/trustbook/trustbook/internal/oracle"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/remote"
)

func endpoint(t testing.TB, m *nets.Model) Endpoint {
	e, err := ModelEndpoint(testengine.Training(t), m, 0)
	require.NoError(t, err)
	return e
}

// wrapped changes what an endpoint answers, and counts.
type wrapped struct {
	Endpoint
	change func(row []float32)
	asked  int
}

func (w *wrapped) Probabilities(ctx context.Context, x *tensors.Tensor) (*tensors.Tensor, error) {
	p, err := w.Endpoint.Probabilities(ctx, x)
	if err != nil {
		return nil, err
	}
	w.asked += x.Shape().Dimensions[0]
	if w.change == nil {
		return p, nil
	}
	classes, values := p.Shape().Dimensions[1], tensors.MustCopyFlatData[float32](p)
	for row := range slices.Chunk(values, classes) {
		w.change(row)
	}
	return tensors.FromFlatDataAndDimensions(values, p.Shape().Dimensions...), nil
}

func toLabel(row []float32) {
	at := slices.Index(row, slices.Max(row))
	clear(row)
	row[at] = 1
}

func topOne(row []float32) {
	at := slices.Index(row, slices.Max(row))
	p := row[at]
	clear(row)
	row[at] = p
}

func digitsOf(n int) func([]float32) {
	unit := math.Pow(10, float64(n))
	return func(row []float32) {
		for i, p := range row {
			row[i] = float32(math.Round(float64(p)*unit) / unit)
		}
	}
}

// TestVerify: by 1,280 predictions the mark is shown on the marked network and on no other, and under no other key. Answers
// that are rounded or of the best class alone show it too.
func TestVerify(t *testing.T) {
	n, ctx := networks(t), context.Background()
	low, high := Interval(64, 0.999)
	for _, c := range []struct {
		name   string
		m      *nets.Model
		key    *Key
		change func([]float32)
		v      Verifier
		marked bool
	}{
		{"marked", n.marked, n.key, nil, Verifier{}, true},
		{"plain", n.plain, n.key, nil, Verifier{}, false},
		{"wrong key", n.marked, smallKey(t, "wrong"), nil, Verifier{}, false},
		{"two digits", n.marked, n.key, digitsOf(2), Verifier{Step: 0.3, Samples: 20}, true},
		{"best class", n.marked, n.key, topOne, Verifier{}, true},
		{"labels", n.marked, n.key, toLabel, Verifier{Step: 1, Samples: 50}, true},
		{"one query", n.marked, n.key, nil, Verifier{Estimator: OneQuery, Step: 3, Samples: 6}, true},
		{"coordinate", n.marked, n.key, nil, Verifier{Estimator: Coordinate, Step: 1e-3, Samples: 20}, true},
	} {
		w := &wrapped{Endpoint: endpoint(t, c.m), change: c.change}
		got, err := c.v.Verify(ctx, w, c.key, n.targets)
		require.NoError(t, err, c.name)
		require.Equal(t, w.asked, got.Queries, c.name)
		require.Equal(t, c.v.Queries(c.key, n.targets.Shape().Dimensions[0]), got.Queries, c.name)
		require.Equal(t, Unregistered, got.Commitment)
		require.False(t, got.Registered)
		if c.marked {
			require.LessOrEqual(t, got.Errors, MaxErrors(64, Level), c.name)
			require.Equal(t, Marked, got.Result, c.name)
		} else {
			require.GreaterOrEqual(t, got.Errors, low, c.name)
			require.LessOrEqual(t, got.Errors, high, c.name)
			require.Equal(t, NotShown, got.Result, c.name)
		}
	}
	require.Equal(t, 1280, Verifier{}.Queries(n.key, 100))
}

// Random directions use gradients as little as they must: 650 of them show hardly anything. This is the control that the others
// use predictions alone.
func TestRandomDirectionsAreWorse(t *testing.T) {
	n := networks(t)
	wrong := 0
	for seed := range 3 {
		got, err := Verifier{Estimator: RandomDirections, Directions: 16, Seed: int64(seed)}.Verify(context.Background(),
			endpoint(t, n.marked), n.key, n.targets)
		require.NoError(t, err)
		require.Equal(t, 170, got.Queries)
		wrong += got.Errors
	}
	require.GreaterOrEqual(t, float64(wrong)/192, 0.15)
}

// TestBias: of a sure classifier without a mark, central differences read as many ones as zeros, forward ones mostly ones: the
// cross-entropy of a linear classifier is convex.
func TestBias(t *testing.T) {
	const inputs, n = 196, 10
	low, high := Interval(64, 0.999)
	mean := 0.0
	for seed := range 3 {
		l := oracle.RandomLinear(inputs, 10, uint64(seed))
		x, rng := make([]float32, n*inputs), rand.New(rand.NewPCG(uint64(seed), 2))
		for i := range x {
			x[i] = 0.06*l.W[i%inputs][target] + 0.05*float32(rng.NormFloat64())
		}
		k, err := NewKey([]byte{byte(seed)}, "", KeyOptions{Shape: []int{inputs}, Target: target})
		require.NoError(t, err)
		read := func(e Estimator) int {
			got, err := Verifier{Estimator: e, Step: 3}.Verify(context.Background(), endpoint(t, l.Model(-9, 9)), k,
				tensors.FromFlatDataAndDimensions(x, n, inputs))
			require.NoError(t, err)
			return ones(got.Bits)
		}
		central := read(Directional)
		require.GreaterOrEqual(t, central, low)
		require.LessOrEqual(t, central, high)
		mean += float64(read(Forward)) / 3
	}
	require.GreaterOrEqual(t, mean, 42.0)
}

// TestErasures: what no answer decides is no bit, and counts for nothing.
func TestErasures(t *testing.T) {
	n, ctx := networks(t), context.Background()
	constant := &wrapped{Endpoint: endpoint(t, n.marked), change: func(row []float32) {
		for i := range row {
			row[i] = 0.1
		}
	}}
	for _, estimator := range []Estimator{Directional, Forward, Coordinate, RandomDirections, OneQuery} {
		v := Verifier{Estimator: estimator, Samples: 2, Directions: 8}
		got, err := v.Verify(ctx, constant, n.key, n.targets)
		require.NoError(t, err)
		require.Equal(t, Undecided, got.Result, estimator)
		require.Nil(t, got.BER)
		require.Zero(t, got.Decided)
		require.Equal(t, 1.0, got.PValue)
		data, err := json.Marshal(got)
		require.NoError(t, err)
		require.NotContains(t, string(data), `"ber"`)
	}
	labels := &wrapped{Endpoint: endpoint(t, n.marked), change: toLabel}
	got, err := Verifier{Step: 0.02, Samples: 20}.Verify(ctx, labels, n.key, n.targets)
	require.NoError(t, err)
	require.Less(t, got.Decided, 64)
	require.Equal(t, PValue(got.Errors, got.Decided), got.PValue)

	count := 0
	absent := &wrapped{Endpoint: endpoint(t, n.marked), change: func(row []float32) {
		topOne(row)
		if count++; count%4 == 0 {
			row[target], row[0] = 0, 0.5
		}
	}}
	got, err = Verifier{Samples: 5}.Verify(ctx, absent, n.key, n.targets)
	require.NoError(t, err)
	require.Regexp(t, `^target missing in 1\d\d of 640 answers; erased$`, got.Notes[0])
}

// TestVerifyRefuses: what cannot be asked, and answers that are none.
func TestVerifyRefuses(t *testing.T) {
	n, ctx := networks(t), context.Background()
	good := endpoint(t, n.marked)
	few := tensors.FromFlatDataAndDimensions(make([]float32, 2*side*side), 2, side, side, 1)
	wide := tensors.FromFlatDataAndDimensions(make([]float32, 2*9), 2, 3, 3, 1)
	bad := tensors.FromFlatDataAndDimensions(append(make([]float32, side*side-1), float32(math.NaN())), 1, side, side, 1)
	other, err := NewCommitment(smallKey(t, "other"), nil)
	require.NoError(t, err)
	row := func(change func(row []float32)) Endpoint { return &wrapped{Endpoint: good, change: change} }
	for _, c := range []struct {
		v      Verifier
		e      Endpoint
		images *tensors.Tensor
		want   string
	}{
		{Verifier{Budget: 1000}, good, n.targets, "verify: 64 bits x 10 images x 2 = 1280 queries exceed budget 1000"},
		{Verifier{Budget: 1000, Estimator: Coordinate}, good, n.targets, "verify: coordinate: 1510 queries exceed budget 1000"},
		{Verifier{Samples: 3}, good, few, "verify: 3 images wanted, 2 given"},
		{Verifier{Estimator: OneQuery}, good, few, "verify: 64 bits x 2 images of their own, an even number of them: there are 2 images"},
		{Verifier{}, good, wide, "verify: images have shape [2 3 3 1]: the key was made for [14 14 1]"},
		{Verifier{}, good, nil, "verify: images have shape []"},
		{Verifier{}, good, bad, "verify: pixel 195 is NaN, not finite"},
		{Verifier{Estimator: "guess"}, good, few, `estimator "guess"`},
		{Verifier{Step: math.NaN()}, good, few, "Step = NaN"},
		{Verifier{Samples: -1}, good, few, "Samples = -1"},
		{Verifier{Level: 1}, good, few, "Level = 1"},
		{Verifier{Commitment: other}, good, few, "verify: commitment: made for another key"},
		{Verifier{}, row(func(p []float32) { p[2] = 17.5 }), few, "verify: answer 1: 17.5 for class 2 is no probability"},
		{Verifier{}, row(func(p []float32) { p[4] = float32(math.NaN()) }), few, "verify: answer 1: NaN for class 4 is no probability"},
		{Verifier{}, row(func(p []float32) {
			for i := range p {
				p[i] = 0.01
			}
		}), few, "verify: answer 1: probabilities sum to 0.1, far from 1"},
		{Verifier{}, narrow{}, few, "verify: the endpoint has classes 0 to 1, the key's target is 3"},
		{Verifier{Journal: "."}, good, few, "verify: the journal cannot be opened"},
	} {
		_, err := c.v.Verify(ctx, c.e, n.key, c.images)
		require.ErrorContains(t, err, c.want)
	}
}

// narrow has two classes.
type narrow struct{}

func (narrow) Probabilities(_ context.Context, x *tensors.Tensor) (*tensors.Tensor, error) {
	n := x.Shape().Dimensions[0]
	return tensors.FromFlatDataAndDimensions(slices.Repeat([]float32{0.5}, 2*n), n, 2), nil
}

// server serves the marked network.
func server(t *testing.T, m *nets.Model, trouble string) (*oip.Server, string) {
	e := endpoint(t, m)
	single := e.(*modelEndpoint)
	single.batch = 1
	s := &oip.Server{Name: "digits", Shape: []int{side, side, 1}, Scores: func(x []float32) []float32 {
		out, err := single.exec.Call(tensors.FromFlatDataAndDimensions(x, 1, side, side, 1))
		if err != nil {
			panic(err)
		}
		return tensors.MustCopyFlatData[float32](out[0])
	}}
	if trouble != "" {
		s.Trouble = oip.Troubles(trouble)
	}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, h.URL
}

func client(t *testing.T, url string, answers remote.Answers) *remote.Client {
	c, err := remote.Open(context.Background(), remote.Config{URL: url, Model: "digits", Shape: []int{side, side, 1}, Answers: answers,
		Classes: 10, Batch: 16, Backoff: time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// TestVerifyRemote: the same bits as in the process, whatever the server does; what is reported is what it counted.
func TestVerifyRemote(t *testing.T) {
	n, ctx := networks(t), context.Background()
	v := Verifier{Samples: 4, Budget: 512}
	want, err := v.Verify(ctx, endpoint(t, n.marked), n.key, n.targets)
	require.NoError(t, err)
	for answers, kind := range map[string]remote.Answers{"logits": remote.Logits, "probabilities": remote.Probabilities} {
		s, url := server(t, n.marked, "none none drop none none slow none none none none busy")
		s.Answers = answers
		c := client(t, url, kind)
		got, err := v.Verify(ctx, RemoteEndpoint(c, n.key.Shape), n.key, n.targets)
		require.NoError(t, err)
		require.Equal(t, want.Bits, got.Bits)
		require.Equal(t, Marked, got.Result)
		require.Equal(t, 512, got.Queries)
		require.Equal(t, s.Counts().Answered, got.Queries)
		require.Equal(t, int64(s.Counts().Received), c.Stats().Rows+c.Stats().Lost)
		require.Positive(t, c.Stats().Retries)
		require.Zero(t, s.Counts().Twice)
	}
	labels, err := Verifier{Samples: 20, Step: 1}.Verify(ctx, &wrapped{Endpoint: endpoint(t, n.marked), change: toLabel}, n.key, n.targets)
	require.NoError(t, err)
	s, url := server(t, n.marked, "")
	s.Answers = "labels"
	got, err := Verifier{Samples: 20, Step: 1}.Verify(ctx, RemoteEndpoint(client(t, url, remote.Guess), n.key.Shape), n.key, n.targets)
	require.NoError(t, err)
	require.Equal(t, labels.Reading, got.Reading)
}

// TestJournal: a verification that was stopped goes on to the same verdict, and asks nothing twice; more samples cost what is
// new alone. The journal holds nothing of the key.
func TestJournal(t *testing.T) {
	n, ctx := networks(t), context.Background()
	v := Verifier{Samples: 4, Batch: 32}
	_, undisturbed := server(t, n.marked, "")
	want, err := v.Verify(ctx, RemoteEndpoint(client(t, undisturbed, remote.Logits), n.key.Shape), n.key, n.targets)
	require.NoError(t, err)
	s, url := server(t, n.marked, "none slow none drop")
	e := RemoteEndpoint(client(t, url, remote.Logits), n.key.Shape)
	v.Journal = filepath.Join(t.TempDir(), "j")
	going, cancel := context.WithCancel(ctx)
	stopped := v
	stopped.Progress = &stopAt{100, cancel}
	_, err = stopped.Verify(going, e, n.key, n.targets)
	require.ErrorIs(t, err, context.Canceled)
	before := s.Counts()
	require.Less(t, before.Answered, 512)
	require.Positive(t, before.Answered)

	again, err := v.Verify(ctx, e, n.key, n.targets)
	require.NoError(t, err)
	require.Equal(t, want, again)
	require.Equal(t, 512, s.Counts().Answered)
	require.Zero(t, s.Counts().Twice)
	v.Samples = 5
	_, err = v.Verify(ctx, e, n.key, n.targets)
	require.NoError(t, err)
	require.Equal(t, 640, s.Counts().Answered)
	require.Zero(t, s.Counts().Twice)

	data, err := os.ReadFile(v.Journal)
	require.NoError(t, err)
	secretFree(t, n.key, data)
	info, err := os.Stat(v.Journal)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	_, err = v.Verify(ctx, endpoint(t, n.marked), n.key, n.targets)
	require.ErrorContains(t, err, "is of another endpoint or target: name another")
	require.NoError(t, os.WriteFile(v.Journal, data[:len(data)-11], 0o600)) // cut inside its last record
	_, err = v.Verify(ctx, e, n.key, n.targets)
	require.NoError(t, err)
	require.Equal(t, 641, s.Counts().Answered)
	text := filepath.Join(t.TempDir(), "text")
	require.NoError(t, os.WriteFile(text, []byte("some text that is no journal at all"), 0o600))
	v.Journal = text
	_, err = v.Verify(ctx, e, n.key, n.targets)
	require.ErrorContains(t, err, "is no journal")
}

// secretFree fails where data hold something of a key, in any of the forms that it may slip through in.
func secretFree(t testing.TB, k *Key, data []byte) {
	t.Helper()
	for _, row := range k.Matrix[:8] {
		for _, v := range row[:8] {
			for _, form := range []string{fmt.Sprint(v), fmt.Sprint(float32(v)), fmt.Sprintf("%.4f", v)} {
				require.False(t, len(form) > 6 && bytes.Contains(data, []byte(form)), "a value of the matrix")
			}
			for _, form := range [][]byte{binaryOf(v), binaryOf(float32(v))} {
				require.False(t, bytes.Contains(data, form), "a value of the matrix")
			}
		}
	}
	carriers, err := json.Marshal(k.Carriers[:4])
	require.NoError(t, err)
	signature, err := json.Marshal(k.Signature[:8])
	require.NoError(t, err)
	for _, form := range []string{string(carriers[1 : len(carriers)-1]), fmt.Sprint(k.Carriers[:4])[1:],
		string(signature[1 : len(signature)-1]), fmt.Sprint(k.Signature[:8])[1:], "secret"} {
		require.False(t, bytes.Contains(data, []byte(form[:len(form)-1])), "of the key")
	}
}
