package scoring

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// eleven is a curve over 0, 0.1, ..., 1.
func eleven(accuracy func(t float64) float64) Curve {
	var c Curve
	for i := range 11 {
		t := float64(i) / 10
		c.Magnitudes, c.Accuracies = append(c.Magnitudes, t), append(c.Accuracies, accuracy(t))
	}
	return c
}

// The values follow from the integrals by hand, and were computed apart from this code, in Python.
func TestGoldenCurves(t *testing.T) {
	measured := []float64{1, 1, .999, .997, .99, .975, .94, .87, .76, .60, .42}
	for name, c := range map[string]struct {
		curve                             Curve
		perfect, invariant, pal, economic float64
	}{
		"always right": {eleven(func(float64) float64 { return 1 }), 0, 0, 84, 1.1875},
		"constant":     {eleven(func(float64) float64 { return 0.7 }), 0.3, 0, 84, 1.1875},
		"falling":      {eleven(func(t float64) float64 { return 1 - t }), 0.335, 0.335, 55.4736842105, 0.7210144928},
		"half falling": {eleven(func(t float64) float64 { return 1 - t/2 }), 0.1675, 0.1675, 70.1025641026, 0.9714765101},
		"step": {eleven(func(t float64) float64 {
			if t < 0.55 {
				return 1
			}
			return 0.5
		}), 0.1025, 0.1025, 73.75, 0.9375},
		"measured": {eleven(func(t float64) float64 { return measured[int(math.Round(10*t))] }), 0.03738, 0.03738, 80.277, 1.0742571160},
	} {
		t.Run(name, func(t *testing.T) {
			for ideal, want := range map[Ideal]float64{IdealPerfect: c.perfect, IdealInvariant: c.invariant} {
				got, err := GiScore(c.curve, ideal)
				require.NoError(t, err)
				require.InDelta(t, want, got, 1e-9)
			}
			for f, want := range map[PalFractions]float64{{}: c.pal, {Top: 0.6, Bottom: 0.1}: c.pal, {Top: 0.1, Bottom: 0.4}: c.economic} {
				got, err := PalScore(c.curve, f)
				require.NoError(t, err)
				require.InDelta(t, want, got, 1e-9)
			}
		})
	}
	wrong := eleven(func(float64) float64 { return 0 })
	gi, err := GiScore(wrong, IdealPerfect)
	require.NoError(t, err)
	require.InDelta(t, 1, gi, 1e-12)
	_, err = PalScore(wrong, PalFractions{})
	require.EqualError(t, err, "scoring: Pal-score undefined: no area under the curve's first 10 %")

	uneven := Curve{Magnitudes: []float64{0, .05, .3, .55, 1}, Accuracies: []float64{1, .95, .8, .6, .2}}
	gi, err = GiScore(uneven, IdealPerfect)
	require.NoError(t, err)
	require.InDelta(t, 0.26175, gi, 1e-9)
	pal, err := PalScore(uneven, PalFractions{})
	require.NoError(t, err)
	require.InDelta(t, 62.7631578947, pal, 1e-9)

	// The falling curve on ever finer grids: 1/3 and, by integration of t - t²/2, (1/3 - 0.4²/2 + 0.4³/6) / (0.1²/2 - 0.1³/6).
	var fine Curve
	for i := range 10_001 {
		fine.Magnitudes, fine.Accuracies = append(fine.Magnitudes, float64(i)), append(fine.Accuracies, 1-float64(i)/10_000)
	}
	gi, err = GiScore(fine, IdealPerfect)
	require.NoError(t, err)
	require.InDelta(t, 1./3, gi, 1e-7)
	pal, err = PalScore(fine, PalFractions{})
	require.NoError(t, err)
	require.InDelta(t, (1./3-0.08+0.064/6)/(0.005-0.001/6), pal, 1e-4)
}

func randomCurve(rng *rand.Rand) Curve {
	n := 2 + rng.IntN(20)
	var c Curve
	at := rng.NormFloat64()
	for range n {
		c.Magnitudes, c.Accuracies = append(c.Magnitudes, at), append(c.Accuracies, rng.Float64())
		at += 0.01 + rng.Float64()
	}
	return c
}

func TestInvariances(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	score := func(c Curve) (gi, pal float64) {
		gi, err := GiScore(c, IdealPerfect)
		require.NoError(t, err)
		pal, err = PalScore(c, PalFractions{})
		require.NoError(t, err)
		return gi, pal
	}
	for range 3000 {
		c := randomCurve(rng)
		gi, pal := score(c)
		require.GreaterOrEqual(t, gi, -1e-12)
		require.LessOrEqual(t, gi, 1+1e-12)

		moved := Curve{Accuracies: c.Accuracies}
		factor, shift := 0.1+10*rng.Float64(), rng.NormFloat64()
		for _, m := range c.Magnitudes {
			moved.Magnitudes = append(moved.Magnitudes, factor*m+shift)
		}
		movedGi, movedPal := score(moved)
		require.InDelta(t, gi, movedGi, 1e-9)
		require.InEpsilon(t, pal, movedPal, 1e-9)

		scaled, lower := Curve{Magnitudes: c.Magnitudes}, Curve{Magnitudes: c.Magnitudes}
		share := 0.05 + 0.9*rng.Float64()
		for _, a := range c.Accuracies {
			scaled.Accuracies = append(scaled.Accuracies, share*a)
			lower.Accuracies = append(lower.Accuracies, a*rng.Float64())
		}
		_, scaledPal := score(scaled)
		require.InEpsilon(t, pal, scaledPal, 1e-9)
		lowerGi, err := GiScore(lower, IdealPerfect)
		require.NoError(t, err)
		require.GreaterOrEqual(t, lowerGi, gi-1e-12)

		level := Curve{Magnitudes: c.Magnitudes, Accuracies: slices.Repeat([]float64{share}, len(c.Magnitudes))}
		levelGi, levelPal := score(level)
		require.InDelta(t, 1-share, levelGi, 1e-12)
		require.InDelta(t, 84, levelPal, 1e-8)
	}
	// The other form of the score, as a weighted error, on equal intervals.
	for range 3000 {
		m := 2 + rng.IntN(30)
		var c Curve
		weighted := 0.0
		for i := range m + 1 {
			c.Magnitudes, c.Accuracies = append(c.Magnitudes, float64(i)), append(c.Accuracies, rng.Float64())
			value := 2 * (1 - float64(i)/float64(m)) * (1 - c.Accuracies[i])
			if i == 0 || i == m {
				value /= 2
			}
			weighted += value / float64(m)
		}
		gi, err := GiScore(c, IdealPerfect)
		require.NoError(t, err)
		require.InDelta(t, weighted, gi, 1/(2*float64(m*m))+1e-12)
	}
}

func TestCurveErrors(t *testing.T) {
	nan, ones := math.NaN(), []float64{1, 1, 1, 1, 1}
	for want, c := range map[string]Curve{
		"scoring: response curve has 1 point: need at least 2":                               {[]float64{0}, []float64{1}},
		"scoring: response curve has 0 points: need at least 2":                              {},
		"scoring: magnitudes must increase: 0.2 then 0.15 at index 4":                        {[]float64{0, .1, .15, .2, .15}, ones},
		"scoring: accuracy 1.04 at index 3 is outside [0, 1] (percent instead of fraction?)": {[]float64{0, 1, 2, 3}, []float64{1, 1, 1, 1.04}},
		"scoring: NaN accuracy at magnitude 0.3":                                             {[]float64{0, .3}, []float64{1, nan}},
		"scoring: 2 magnitudes but 1 accuracies":                                             {[]float64{0, 1}, []float64{1}},
		"scoring: magnitude NaN at index 1: must be finite":                                  {[]float64{0, nan}, []float64{1, 1}},
		"scoring: magnitudes from -1.7e+308 to 1.7e+308: their span must be finite":          {[]float64{-1.7e308, 1.7e308}, []float64{1, 1}},
	} {
		_, err := GiScore(c, IdealPerfect)
		require.EqualError(t, err, want)
		_, err = PalScore(c, PalFractions{})
		require.EqualError(t, err, want)
	}
	good := eleven(func(t float64) float64 { return 1 - t })
	for _, f := range []PalFractions{{Top: 0.6}, {Bottom: -1, Top: 0.5}, {Top: 1.1, Bottom: 0.1}, {Top: nan, Bottom: 0.1}} {
		_, err := PalScore(good, f)
		require.ErrorContains(t, err, "Pal fractions")
	}
	_, err := GiScore(Curve{[]float64{0.1, 1}, []float64{1, 1}}, IdealInvariant)
	require.ErrorContains(t, err, "accuracy at magnitude 0")
	_, err = GiScore(Curve{[]float64{-1, 1}, []float64{1, 1}}, IdealInvariant)
	require.ErrorContains(t, err, "accuracy at magnitude 0")
	_, err = GiScore(good, Ideal(7))
	require.ErrorContains(t, err, "ideal 7")
}

func TestFoldAndAt(t *testing.T) {
	c := Curve{[]float64{-2, -1, 0, 1, 2}, []float64{0.1, 0.5, 0.9, 0.7, 0.3}}
	f, err := c.Fold()
	require.NoError(t, err)
	require.Equal(t, []float64{0, 1, 2}, f.Magnitudes)
	require.InDeltaSlice(t, []float64{0.9, 0.6, 0.2}, f.Accuracies, 1e-12)
	f, err = Curve{[]float64{-2, -1, 1, 2}, []float64{0.1, 0.5, 0.7, 0.3}}.Fold()
	require.NoError(t, err)
	require.Equal(t, []float64{1, 2}, f.Magnitudes)
	_, err = Curve{[]float64{-2, 0, 1}, []float64{1, 1, 1}}.Fold()
	require.ErrorContains(t, err, "opposite")
	at, err := c.At(1.5)
	require.NoError(t, err)
	require.InDelta(t, 0.5, at, 1e-12)
	_, err = c.At(2.5)
	require.ErrorContains(t, err, "outside the curve's range")
}

func TestReadCurve(t *testing.T) {
	for _, text := range []string{"magnitude,accuracy\n0,1\n0.5,0.25\n",
		"Magnitude, Accuracy\r\n0, 1\r\n0.5, 2.5e-1\r\n", "\ufeffmagnitude,accuracy\n0,1\n.5,.25"} {
		c, err := ReadCurve(strings.NewReader(text))
		require.NoError(t, err, text)
		require.Equal(t, Curve{[]float64{0, 0.5}, []float64{1, 0.25}}, c)
	}
	for text, want := range map[string]string{
		"":                                   "want the header magnitude,accuracy",
		"0,1\n1,0.5\n":                       "want the header magnitude,accuracy",
		"magnitude,accuracy\n0,1\n":          "has 1 point",
		"magnitude,accuracy\n0,one\n1,1\n":   `accuracy "one" at point 1 is no number`,
		"magnitude,accuracy\n0,1\n1\n":       "wrong number of fields",
		"magnitude,accuracy\n0,100\n1,50\n":  "percent instead of fraction",
		"magnitude,accuracy\n0,1\n1,1,3\n":   "wrong number of fields",
		"magnitude,accuracy\n0,\"1\n1,0.5\n": "reading a curve",
	} {
		_, err := ReadCurve(strings.NewReader(text))
		require.ErrorContains(t, err, want, text)
	}
	_, err := LoadCurve("testdata/there_is_none.csv")
	require.ErrorContains(t, err, "no such file")
}

// FuzzReadCurve: whatever is read is a valid curve, survives writing, and scores within bounds.
func FuzzReadCurve(f *testing.F) {
	f.Add("magnitude,accuracy\n0,1\n0.5,0.25\n1,0\n")
	f.Add("magnitude,accuracy\n-1,1\n1e300,0.25\n")
	f.Add("magnitude,accuracy\n0,NaN\n1,0\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ReadCurve(strings.NewReader(text))
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		var written bytes.Buffer
		require.NoError(t, c.Write(&written))
		again, err := ReadCurve(&written)
		require.NoError(t, err)
		require.Equal(t, c, again)
		gi, err := GiScore(c, IdealPerfect)
		require.NoError(t, err)
		require.True(t, gi >= -1e-9 && gi <= 1+1e-9, gi)
	})
}

// The measures of a network are its scores, each with the sign with which it grows with the gap: a good Gi-score is low, a
// good Pal-score is high.
func TestMeasures(t *testing.T) {
	c := Curve{Magnitudes: []float64{0, 0.25, 0.5}, Accuracies: []float64{1, 0.8, 0.5}}
	gi, err := GiScore(c, IdealPerfect)
	require.NoError(t, err)
	pal, err := PalScore(c, PalFractions{})
	require.NoError(t, err)
	all, err := Measured{Curves: map[string]Curve{"noise": c}, Baselines: map[string]float64{TrainingError: 0.125}}.Measures()
	require.NoError(t, err)
	require.Equal(t, map[string]float64{"Gi, noise": gi, "−Pal, noise": -pal, TrainingError: 0.125}, all)
	better := Curve{Magnitudes: c.Magnitudes, Accuracies: []float64{1, 0.95, 0.9}}
	good, err := Measured{Curves: map[string]Curve{"noise": better}}.Measures()
	require.NoError(t, err)
	require.Less(t, good["Gi, noise"], gi)
	require.Less(t, good["−Pal, noise"], -pal)
}
