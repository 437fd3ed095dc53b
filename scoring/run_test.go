package scoring

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/internal/studytest"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/study"
)

// tiny is smaller than the smoke scale, on generated glyphs, which need no files.
func tiny() Config {
	return Config{Scale: "tiny", Dataset: "glyphs", Test: 40, Sample: 60, Seeds: []int64{1}, TrainSizes: []int{100},
		LabelNoise: []float64{0, 0.3}, Widths: []int{8, 12}, Depths: []int{1, 2}, Dropouts: []float64{0}, WeightDecays: []float64{0},
		BatchSizes: []int{20}, Epochs: 3, Perturbations: []string{"inter", "noise"}, Random: 10, Angles: []float64{0, 60},
		RotationEpochs: 1, RotationSample: 30}
}

// TestRepeats: the same bytes, however a run came to its result; and what it shows.
func TestRepeats(t *testing.T) {
	first := studytest.Repeats(t, testengine.Quick(t), tiny(), Run, []int{3, 40, 70}, 3)
	require.Len(t, first.Zoo, 8)
	require.Len(t, first.Invariants, 4)
	for _, m := range first.Zoo {
		require.Equal(t, 3, m.Epochs, "each network is told of its own training")
		require.InDelta(t, 1-m.TrainAccuracy, m.Baselines[TrainingError], 0.4, "of the sample")
	}
	for _, table := range first.Tables() {
		require.NotEmpty(t, table.Rows, table.Title)
		require.NotEmpty(t, table.Text())
	}
	for _, figure := range first.Figures() {
		_, err := figure.PNG()
		require.NoError(t, err, figure.Title)
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
		"seed 1 is given twice":                                     func(c *Config) { c.Seeds = []int64{1, 1} },
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
		"sample = -2":                                               func(c *Config) { c.Sample, c.StopLoss = -2, -1 },
		"shard 3 of 2":                                              func(c *Config) { c.Shard = study.Shard{Index: 3, Of: 2} },
		"needs a folder":                                            func(c *Config) { c.Shard = study.Shard{Index: 1, Of: 2} },
		`perturbation "blur": want inter`:                           func(c *Config) { c.Perturbations = []string{"blur"} },
		"2 hyper-parameters with more than one value":               func(c *Config) { c.Depths = []int{1} },
	} {
		c := tiny()
		change(&c)
		err := c.WithDefaults().Validate()
		require.ErrorContains(t, err, want)
		require.Equal(t, 1, strings.Count(err.Error(), "scoring: "), err)
	}
	empty := tiny().WithDefaults()
	empty.TrainSizes = nil
	require.EqualError(t, empty.Validate(), "scoring: train_sizes is empty: give at least one value")
	// Of several mistakes, the first is told, every time.
	wrong := tiny()
	wrong.Widths, wrong.Depths, wrong.Dropouts, wrong.Angles, wrong.Random = []int{0}, []int{-1}, []float64{2}, []float64{math.NaN()}, -1
	for range 200 {
		require.EqualError(t, wrong.Validate(), "scoring: random = -1: must be at least 1")
	}
	wrong.Random = 1
	for range 200 {
		require.EqualError(t, wrong.Validate(), "scoring: widths = [0]: must be at least 1")
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
	require.InDelta(t, noisyError(t, d, m), b[Sharpness], 1e-12)
	require.Greater(t, b[Sharpness], b[TrainingError], "noise on the weights costs accuracy")
	require.InDelta(t, 1-intra.Accuracies[10], b[MixupError], 1e-12)
}

// noisyError is the sharpness by its definition: the mean error of five copies of a network whose weights w became w·(1 + 0.3·g).
func noisyError(t *testing.T, d fit.Data, m *nets.Model) (mean float64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 0x7368617270))
	for range 5 {
		moved, err := m.Clone()
		require.NoError(t, err)
		require.NoError(t, moved.CopyWeights(m))
		for _, w := range moved.Weights() {
			flat, dims := tensors.MustCopyFlatData[float32](w.MustValue()), w.Shape().Dimensions
			for i := range flat {
				flat[i] *= float32(1 + 0.3*rng.NormFloat64())
			}
			require.NoError(t, w.SetValue(tensors.FromFlatDataAndDimensions(flat, dims...)))
		}
		_, accuracy, err := responder(t, moved, ResponseOptions{}).Margins(t.Context(), d)
		require.NoError(t, err)
		mean += (1 - accuracy) / 5
	}
	return mean
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

// TestKeys: the rest is in the keys of the networks.
func TestKeys(t *testing.T) {
	studytest.Keys(t, tiny(), Config.measuring, "Scale", "Dataset", "Seeds", "TrainSizes", "LabelNoise", "Widths", "Depths", "Dropouts",
		"WeightDecays", "BatchSizes", "LearningRates", "Epochs", "StopLoss", "Random", "Angles", "RotationEpochs")
}
