package nets_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

func TestZZ(t *testing.T) {
	f, err := os.Open(os.Getenv("ZZ"))
	if err != nil {
		t.Skip()
	}
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<26)
	back := testengine.Pure(t).Backend()
	if os.Getenv("ZZXLA") != "" {
		back = testengine.Get(t).Backend()
	}
	n, bad, refused := 0, 0, 0
	for sc.Scan() {
		var c struct {
			Seed        int
			Name, Error string
			Model       string
			Shape       []int
			X           []float32
			Exact       [][]float64
			Logits      [][]float64
			Gradient    []float64
		}
		if err := json.Unmarshal(sc.Bytes(), &c); err != nil || c.Error != "" {
			continue
		}
		if s := os.Getenv("ZZSEED"); s != "" && s != fmt.Sprint(c.Seed) {
			continue
		}
		n++
		raw, _ := base64.StdEncoding.DecodeString(c.Model)
		p := filepath.Join(t.TempDir(), "m.onnx")
		os.WriteFile(p, raw, 0o600)
		m, err := nets.LoadONNX(p, nets.ONNXOptions{Lower: -2, Upper: 2})
		if err != nil {
			refused++
			fmt.Printf("REFUSED %d %s: %v\n", c.Seed, c.Name, err)
			continue
		}
		exec, err := model.NewExec(back, m.Store, func(scope *model.Scope, x *Node) (*Node, *Node) {
			z := m.Logits(scope, x)
			w := Sin(AddScalar(IotaFull(x.Graph(), z.Shape()), 1))
			return z, Gradient(ReduceAllSum(Mul(z, w)), x)[0]
		})
		if err != nil {
			panic(err)
		}
		out, err := exec.Call(tensors.FromFlatDataAndDimensions(c.X, c.Shape...))
		if err != nil {
			bad++
			fmt.Printf("FAILED %d %s: %.300s\n", c.Seed, c.Name, err)
			continue
		}
		z, g := tensors.MustCopyFlatData[float32](out[0]), tensors.MustCopyFlatData[float32](out[1])
		worst, scale := 0.0, 0.0
		k := 0
		for _, r := range c.Exact {
			for _, v := range r {
				scale = max(scale, math.Abs(v))
				d := math.Abs(v - float64(z[k]))
				if d > worst || d != d {
					worst = d
				}
				k++
			}
		}
		gw, gs := 0.0, 0.0
		for i, v := range c.Gradient {
			gs = max(gs, math.Abs(v))
			d := math.Abs(v - float64(g[i]))
			if d > gw || d != d {
				gw = d
			}
		}
		if !(worst <= 1e-4*(1+scale)) || !(gw <= 1e-3*(1e-3+gs)) {
			bad++
			fmt.Printf("DIFF %d %s: logits %g of %g, gradient %g of %g\n", c.Seed, c.Name, worst, scale, gw, gs)
		}
	}
	fmt.Println("TOTAL", n, "bad", bad, "refused", refused)
}
