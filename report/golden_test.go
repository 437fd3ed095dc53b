package report

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/plot/cmpimg"
)

type drawable interface{ PNG() ([]byte, error) }

// goldenPictures are small pictures, one of each kind of mark, and a grid. Of each kind of number in them, one can be moved.
func goldenPictures(by float64) map[string]drawable {
	figure := func(x, y Axis, marks ...Mark) *Figure {
		return &Figure{Title: "Golden", Width: 3, PanelHeight: 1.6, Panels: []Panel{{Title: "a panel", X: x, Y: y, Marks: marks}}}
	}
	x := []float64{0, 0.1, 0.2, 0.3}
	falling := []float64{0.95, 0.8 + by, 0.4, 0.15}
	series := []BarSeries{{"plain", []float64{0.5, 0.3}, []float64{0.4, 0.25}, []float64{0.55, 0.4}},
		{Name: "robust", Values: []float64{0.7 + by, 0.6}}}
	share := Axis{Label: "share", Percent: true}
	pixels := []float32{0, 0.25, 0.5, float32(0.75 + by), 1, 0.6, 0.3, 0.1, 0.9}
	clean, moved := NewImage(pixels, 3, 3), NewImage([]float32{0.1, 0.2, 0.5, 0.75, 1, 0.7, 0.3, 0, 0.9}, 3, 3)
	clean.Caption = "7"
	return map[string]drawable{
		"lines": figure(Axis{Label: "budget ε (ℓ∞)"}, Axis{Label: "accuracy", Percent: true, Max: 1},
			Line{Name: "standard", X: x, Y: falling, Low: []float64{0.9, 0.7, 0.3, 0.1}, High: []float64{1, 0.9, 0.5, 0.2}},
			Line{Name: "robust", X: x, Y: []float64{0.9, math.NaN(), 0.8, 0.7}}, Level{Name: "chance", At: 0.1}),
		"points": figure(Axis{Label: "found", Log: true}, Axis{Label: "bound", Log: true},
			Points{Name: "perturbation", X: []float64{0.1, 1, 10}, Y: []float64{0.2 + by, 3, 50}}, Diagonal{Name: "y = x"}),
		"bars":    figure(Axis{}, share, Bars{Groups: []string{"FGSM", "PGD"}, Series: series}),
		"stacked": figure(Axis{}, share, Bars{Groups: []string{"first", "last"}, Series: series, Stacked: true}),
		"histogram": figure(Axis{Label: "margin"}, share,
			Histogram{Name: "clean", Values: []float64{0, 1, 1, 2, 2.9 + 10*by, 5}, Bins: 5, Max: 5}),
		"heat": figure(Axis{Label: "ε"}, Axis{Label: "γ"},
			Heat{Label: "change", Diverging: true, X: []string{"0", "0.1"}, Y: []string{"0", "1"},
				Z: [][]float64{{-0.5, 0.2 + by}, {math.NaN(), 1}}}),
		"grid": &Grid{Title: "Golden", Columns: []string{"clean", "moved", "difference"}, RowNames: []string{"image"}, Enlarge: 12,
			Rows: [][]Image{{clean, moved, Difference(moved, clean)}}},
	}
}

// closeness is the change of a pixel that goes through, as a share of that from black to white: other processors round
// otherwise.
const closeness = 0.05

// TestGoldenPictures compares pictures with those that were looked at and committed; `make golden` draws them anew.
func TestGoldenPictures(t *testing.T) {
	moved := goldenPictures(0.02)
	for name, p := range goldenPictures(0) {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name+".png")
			got, err := p.PNG()
			require.NoError(t, err)
			if os.Getenv("UPDATE_GOLDEN") != "" {
				require.NoError(t, os.MkdirAll("testdata", 0o755))
				require.NoError(t, os.WriteFile(path, got, 0o644))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			same, err := cmpimg.EqualApprox("png", got, want, closeness)
			require.NoError(t, err)
			if !same {
				shown := filepath.Join(os.TempDir(), "trustbook-"+name+".png")
				require.NoError(t, os.WriteFile(shown, got, 0o644))
				t.Fatalf("%s is drawn otherwise than %s: look at both, and run `make golden` if it is better so", shown, path)
			}
			// One number moved by 0.02 is seen.
			other, err := moved[name].PNG()
			require.NoError(t, err)
			same, err = cmpimg.EqualApprox("png", other, want, closeness)
			require.NoError(t, err)
			require.False(t, same, "a changed picture goes through")
		})
	}
}
