package scoring

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/report"
)

// tiny is smaller than the smoke scale, on generated glyphs, which need no files.
func tiny() Config {
	return Config{Scale: "tiny", Dataset: "glyphs", Test: 40, Sample: 60, Seeds: []int64{1}, TrainSizes: []int{100}, LabelNoise: []float64{0, 0.3}, Widths: []int{8, 12},
		Depths: []int{1, 2}, Dropouts: []float64{0}, WeightDecays: []float64{0}, BatchSizes: []int{20}, Epochs: 3, Perturbations: []string{"inter", "noise"}, Random: 10,
		Angles: []float64{0, 60}, RotationEpochs: 1, RotationSample: 30}
}

// stopper is a Progress that calls stop when a number of steps were made.
type stopper struct {
	left int
	stop func()
}

func (s *stopper) Begin(string, int, int) {}
func (s *stopper) End()                   {}
func (s *stopper) Advance(n int) {
	if s.left -= n; s.left < 0 {
		s.stop()
	}
}

func encode(t *testing.T, r *Result) string {
	t.Helper()
	b, err := json.Marshal(r)
	require.NoError(t, err)
	return string(b)
}

// Two runs give equal bytes; so does a run that is stopped again and again, one that finds all done, and one that was made
// of three shards in folders of their own.
func TestRunRepeatsResumesAndShards(t *testing.T) {
	e := testengine.Quick(t)
	first, err := Run(t.Context(), e, tiny())
	require.NoError(t, err)
	want := encode(t, first)
	require.Len(t, first.Zoo, 8)
	require.Len(t, first.Invariants, 4)

	stopped := tiny()
	stopped.Dir = t.TempDir()
	stops := 0
	for _, after := range []int{3, 40, 70} {
		ctx, cancel := context.WithCancel(t.Context())
		stopped.Progress = &stopper{after, cancel}
		_, err := Run(ctx, e, stopped)
		cancel()
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
			stops++
		}
	}
	require.Equal(t, 3, stops, "the runs ended before they were stopped")
	stopped.Progress = nil
	resumed, err := Run(t.Context(), e, stopped)
	require.NoError(t, err)
	require.Equal(t, want, encode(t, resumed))
	done := 0
	stopped.Progress = &stopper{0, func() { done++ }}
	found, err := Run(t.Context(), e, stopped)
	require.NoError(t, err)
	require.Equal(t, want, encode(t, found))
	require.Zero(t, done, "work that was done is done again")

	together := t.TempDir()
	for i := range 3 {
		c := tiny()
		c.Dir = t.TempDir()
		require.NoError(t, RunShard(t.Context(), e, c, Shard{Index: i + 1, Of: 3}))
		files, err := filepath.Glob(filepath.Join(c.Dir, "scoring-*.json"))
		require.NoError(t, err)
		// Of the 8 and the 4 networks, a third, rounded.
		require.InDelta(t, 4, len(files), 1)
		for _, path := range files {
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(together, filepath.Base(path)), data, 0o600))
		}
		merged := tiny()
		merged.Dir, merged.Complete = together, true
		whole, err := Run(t.Context(), e, merged)
		if i < 2 {
			require.ErrorContains(t, err, "networks are not there, such as that with train=100")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, want, encode(t, whole))
	}
	for _, s := range []Shard{{}, {0, 2}, {3, 2}, {-1, 2}} {
		require.ErrorContains(t, RunShard(t.Context(), e, tiny(), s), "shard")
	}
	require.ErrorContains(t, RunShard(t.Context(), e, tiny(), Shard{1, 2}), "needs a folder")

	// What the run shows.
	for _, table := range first.Tables() {
		require.NotEmpty(t, table.Rows, table.Title)
		require.NotEmpty(t, table.Text())
	}
	for _, figure := range first.Figures() {
		_, err := figure.PNG()
		require.NoError(t, err, figure.Title)
	}
	claims := first.Claims()
	require.Len(t, claims, 4)
	for i, claim := range claims {
		require.Equal(t, i == 3, claim.Decide().Verdict == report.NotTested, "intra-class mixup was left out: %d", i)
	}
	require.NoError(t, first.Document().WriteFile(filepath.Join(t.TempDir(), "report.html")))
	anatomy, err := AnatomyFigure(first.Zoo[0].Curves[interCurve])
	require.NoError(t, err)
	_, err = anatomy.PNG()
	require.NoError(t, err)
}

func TestConfigErrors(t *testing.T) {
	for want, change := range map[string]func(c *Config){
		"sample = -1: must be at least 1":                           func(c *Config) { c.Sample = -1 },
		"seeds = [1 1]: 1 is given twice":                           func(c *Config) { c.Seeds = []int64{1, 1} },
		"widths = [8 8]: 8 is given twice":                          func(c *Config) { c.Widths = []int{8, 8} },
		"widths = [0 8]: must be at least 1":                        func(c *Config) { c.Widths = []int{0, 8} },
		"layers = [-1]: must be at least 0":                         func(c *Config) { c.Layers = []int{-1} },
		"layers = [0 2]: the shallowest network of the zoo has 1":   func(c *Config) { c.Layers = []int{0, 2} },
		"label_noise = [0 1.5]: each must be finite, >= 0 and <= 1": func(c *Config) { c.LabelNoise = []float64{0, 1.5} },
		"dropouts = [1]: each must be finite, >= 0 and <= 0.99":     func(c *Config) { c.Dropouts = []float64{1} },
		"learning_rates = [0]":                                      func(c *Config) { c.LearningRates = []float64{0} },
		"weight_decays = [NaN]":                                     func(c *Config) { c.WeightDecays = []float64{math.NaN()} },
		"stop_loss = -1":                                            func(c *Config) { c.StopLoss = -1 },
		"the smallest training set has 100":                         func(c *Config) { c.Sample = 101 },
		"batch_sizes = [200]":                                       func(c *Config) { c.BatchSizes = []int{200} },
		`perturbation "blur": want inter`:                           func(c *Config) { c.Perturbations = []string{"blur"} },
		"2 hyper-parameters with more than one value":               func(c *Config) { c.Depths = []int{1} },
	} {
		c := tiny()
		change(&c)
		require.ErrorContains(t, c.WithDefaults().Validate(), want)
	}
	for _, scale := range []string{"smoke", "quick", "paper", ""} {
		c, err := AtScale(scale)
		require.NoError(t, err)
		require.NoError(t, c.WithDefaults().Validate(), scale)
	}
	_, err := AtScale("huge")
	require.ErrorContains(t, err, `scale "huge"`)
	require.Len(t, Config{}.Networks(), 48)
}

// Wrong labels are wrong, as many as asked for, and nested.
func TestNoisyLabels(t *testing.T) {
	labels := make([]int32, 1000)
	for i := range labels {
		labels[i] = int32(i % 7)
	}
	little, much := NoisyLabels(labels, 7, 0.1, 3), NoisyLabels(labels, 7, 0.25, 3)
	wrong, more := 0, 0
	for i, y := range labels {
		if little[i] != y {
			wrong++
			require.Equal(t, little[i], much[i])
		}
		if much[i] != y {
			more++
		}
		require.True(t, much[i] >= 0 && much[i] < 7)
	}
	require.Equal(t, []int{100, 250}, []int{wrong, more})
	require.Equal(t, labels, NoisyLabels(labels, 7, 0, 3))
	require.NotEqual(t, little, NoisyLabels(labels, 7, 0.1, 4))
}

func TestDaviesBouldin(t *testing.T) {
	// Middles 1, 12 and 101 with spreads 1, 2 and 0: by hand, (3/11 + 3/11 + 2/89) / 3.
	values := tensors.FromFlatDataAndDimensions([]float32{0, 10, 2, 14, 101, 101}, 6, 1)
	index, err := DaviesBouldinIndex(values, []int32{0, 1, 0, 1, 5, 5})
	require.NoError(t, err)
	require.InDelta(t, (3./11+3./11+2./89)/3, index, 1e-6)
	_, err = DaviesBouldinIndex(values, make([]int32, 6))
	require.ErrorContains(t, err, "two classes")
	_, err = DaviesBouldinIndex(values, []int32{0, 1})
	require.ErrorContains(t, err, "2 labels")
	_, err = DaviesBouldinIndex(tensors.FromFlatDataAndDimensions([]float32{1, 1}, 2, 1), []int32{0, 1})
	require.ErrorContains(t, err, "same middle")
}

func TestNorms(t *testing.T) {
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{2}, Hidden: []int{3}, Classes: 2})
	require.NoError(t, err)
	// Singular values by hand: diagonal, then a row of ones.
	require.NoError(t, m.Weights()[0].SetValue(tensors.FromValue([][]float32{{3, 0, 0}, {0, -5, 0}})))
	require.NoError(t, m.Weights()[1].SetValue(tensors.FromValue([]float32{1, 2, 0})))
	require.NoError(t, m.Weights()[2].SetValue(tensors.FromValue([][]float32{{1, 1}, {0, 0}, {0, 0}})))
	require.NoError(t, m.Weights()[3].SetValue(tensors.FromValue([]float32{0, 1})))
	squares, spectral, err := Norms(m)
	require.NoError(t, err)
	require.InDelta(t, 9+25+5+2+1, squares, 1e-9)
	require.InDelta(t, math.Log(5)+math.Log(math.Sqrt2), spectral, 1e-6)
}

// The measures come from predictions on training examples; weights are as before.
func TestBaselines(t *testing.T) {
	d := marks(90, 1)
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{8, 8, 1}, Hidden: []int{16}, Classes: 3, Seed: 1})
	r := responder(t, trained(t, d, m, err), ResponseOptions{Seed: 1})
	before := tensors.MustCopyFlatData[float32](m.Weights()[0].MustValue())
	intra, err := r.Respond(t.Context(), d, Mixup{Kind: IntraClass}, 0)
	require.NoError(t, err)
	b, err := r.Baselines(t.Context(), d, intra)
	require.NoError(t, err)
	require.Equal(t, before, tensors.MustCopyFlatData[float32](m.Weights()[0].MustValue()))
	for _, name := range BaselineNames {
		require.Contains(t, b, name)
		require.False(t, math.IsNaN(b[name]))
	}
	margins, accuracy, err := r.Margins(t.Context(), d)
	require.NoError(t, err)
	right := 0
	for _, v := range margins {
		if v > 0 {
			right++
		}
	}
	require.InDelta(t, accuracy, float64(right)/90, 1e-12, "a positive margin is a right answer")
	require.InDelta(t, 1-accuracy, b[TrainingError], 1e-12)
	require.GreaterOrEqual(t, b[Sharpness], 0.)
	require.InDelta(t, 1-intra.Accuracies[10], b[MixupError], 1e-12)
}

// With another draw of partners the Gi-score moves a little, and not by nothing.
func TestPartnersMatterLittle(t *testing.T) {
	d := marks(300, 1)
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{8, 8, 1}, Hidden: []int{32}, Classes: 3, Seed: 1})
	trained(t, d, m, err)
	var scores []float64
	for seed := range int64(4) {
		c, err := responder(t, m, ResponseOptions{Seed: seed}).Respond(t.Context(), d, Mixup{}, 0)
		require.NoError(t, err)
		gi, err := GiScore(c, IdealPerfect)
		require.NoError(t, err)
		scores = append(scores, gi)
	}
	for i := range scores {
		for j := range i {
			require.NotEqual(t, scores[i], scores[j])
			require.InDelta(t, scores[i], scores[j], 0.03)
		}
	}
}
