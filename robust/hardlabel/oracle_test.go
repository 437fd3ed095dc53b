package hardlabel

import (
	"context"
	"fmt"
	"math"
	"os"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/floats"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust/information"
)

// What decisions tell where the data fill 8 of 128 dimensions: with directions of all of them, and of those 8.
func ExampleSpheres() {
	eng, err := engine.Open("")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer eng.Close()
	s := Spheres{Intrinsic: 8, Ambient: 128, Seed: 1}
	network, err := s.Network(context.Background(), eng, fit.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s.Space = range []string{SpaceFull, SpaceManifold} {
		leak, err := s.Leak(context.Background(), eng, network)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: %.2f nats, in closed form %.2f\n", s.Space, leak.MI, leak.ClosedForm)
	}
}

// measured trains the network and measures in each of the spaces, or in all dimensions. It takes fewer steps than the
// experiment, but for TRUSTBOOK_FULL_TESTS; the conditions below have been seen to hold from 400 on.
func measured(t *testing.T, s Spheres, spaces ...string) (leaks []Leak) {
	t.Helper()
	if os.Getenv("TRUSTBOOK_FULL_TESTS") == "" {
		s.Steps = 400
	}
	e := testengine.Training(t)
	network, err := s.Network(context.Background(), e, fit.Options{})
	require.NoError(t, err)
	if len(spaces) == 0 {
		spaces = []string{SpaceFull}
	}
	for _, s.Space = range spaces {
		leak, err := s.Leak(context.Background(), e, network)
		require.NoError(t, err)
		require.InDelta(t, 0, leak.Shuffled, 0.03)
		leaks = append(leaks, *leak)
		t.Logf("%+v: %+.4f", s, *leak)
	}
	return leaks
}

// TestSpheres: information agrees with the closed form and falls with the dimension, comes with training points, and is in
// the manifold's directions.
func TestSpheres(t *testing.T) {
	var falling []float64
	for _, d := range []int{4, 16, 64} {
		leak := measured(t, Spheres{Intrinsic: d})[0]
		require.InDelta(t, leak.ClosedForm, leak.MI, 0.05, "d = %d", d)
		require.Greater(t, leak.Accuracy, 0.9)
		require.Greater(t, leak.Cosine, 0.3)
		falling = append(falling, leak.MI)
	}
	require.GreaterOrEqual(t, falling[0]-falling[1], 0.1)
	require.GreaterOrEqual(t, falling[1]-falling[2], 0.1)
	require.Less(t, measured(t, Spheres{Train: 100})[0].MI, 0.05)
	require.Greater(t, measured(t, Spheres{Train: 10_000})[0].MI, 0.4)
	in := measured(t, Spheres{Intrinsic: 8, Ambient: 128}, SpaceFull, SpaceManifold, SpaceRandom)
	require.GreaterOrEqual(t, in[1].MI-in[0].MI, 0.25)
	require.LessOrEqual(t, in[2].MI-in[0].MI, 0.1)
}

// tilted is a network whose boundary is the sphere of radius 1.15, tilted in a direction off the spheres' space so that its
// normal there has the given cosine with the gradient of D₀: what a network leaks is then known.
func tilted(s Spheres, rho float64) *nets.Model {
	s = s.withDefaults()
	sh := s.shells()
	rng := s.stream("tilt")
	_, _, off := sh.split(gaussian(rng, s.Ambient))
	floats.Scale(math.Sqrt(1-rho*rho)/rho/floats.Norm(off, 2), off)
	return &nets.Model{
		Network:    nets.Network{Name: "tilted", Store: model.NewStore()},
		InputShape: []int{s.Ambient}, Lower: -2, Upper: 2, Classes: 2,
		Logits: func(_ *model.Scope, x *Node) *Node {
			z := Einsum("xv,kv->xk", x, Const(x.Graph(), sh.basis))
			margin := AddScalar(Sqrt(ReduceAndKeep(Square(z), ReduceSum, -1)), -1.15)
			margin = Add(margin, Einsum("xv,kv->xk", x, Const(x.Graph(), [][]float64{off})))
			return Concatenate([]*Node{ZerosLike(margin), margin}, -1)
		},
	}
}

// TestKnownLeak asks networks of which everything is known.
func TestKnownLeak(t *testing.T) {
	e := testengine.Training(t)
	for _, rho := range []float64{0.5, 0.8, 1} {
		s := Spheres{Intrinsic: 24, Ambient: 96}
		network := tilted(s, rho)
		for _, s.Space = range []string{SpaceFull, SpaceManifold} {
			leak, err := s.Leak(context.Background(), e, network)
			require.NoError(t, err)
			want := rho
			if s.Space == SpaceManifold {
				want = 1 // the tilt is off it
			}
			require.InDelta(t, want, leak.Rho, 1e-6)
			require.InDelta(t, information.SignGaussian(want), leak.ClosedForm, 1e-5)
			require.InDelta(t, leak.ClosedForm, leak.MI, 0.06, "rho %g %s", rho, s.Space)
			require.InDelta(t, 0, leak.Shuffled, 0.02)
			require.Equal(t, 1.0, math.Round(leak.Accuracy*1e9)/1e9)
			again, err := s.Leak(context.Background(), e, network)
			require.NoError(t, err)
			require.Equal(t, leak, again)
		}
	}
}

// TestShells compares the gradient of the distance with differences, on and off the spheres' space.
func TestShells(t *testing.T) {
	s := Spheres{Intrinsic: 3, Ambient: 7, Seed: 5}
	sh := s.shells()
	for i, row := range sh.basis {
		for j, other := range sh.basis {
			require.InDelta(t, map[bool]float64{true: 1}[i == j], floats.Dot(row, other), 1e-14)
		}
	}
	rng := s.stream("test")
	points, labels := sh.sample(rng, 10)
	for i, x := range points {
		require.InDelta(t, []float64{0, 0.3}[labels[i]], sh.distance(x), 1e-14)
		x = along(x, 0.3, gaussian(rng, s.Ambient))
		gradient, u := sh.gradient(x), gaussian(rng, s.Ambient)
		const h = 1e-5
		require.InDelta(t, (sh.distance(along(x, h, u))-sh.distance(along(x, -h, u)))/(2*h), floats.Dot(gradient, u), 1e-8)
	}
}

func TestSpheresErrors(t *testing.T) {
	for want, s := range map[string]Spheres{
		"hardlabel: spheres of Intrinsic = 16 dimensions in Ambient = 8": {Ambient: 8},
		"hardlabel: spheres of Intrinsic = 1":                            {Intrinsic: 1},
		"hardlabel: Train = 1 points":                                    {Train: 1},
		`hardlabel: Space = "half": want "full", "manifold" or "random"`: {Space: "half"},
		"hardlabel: Points = 40, Directions = 1":                         {Directions: 1},
	} {
		_, err := s.Measure(context.Background(), nil, fit.Options{})
		require.ErrorContains(t, err, want)
	}
	e := testengine.Training(t)
	s := Spheres{Intrinsic: 8, Ambient: 16}
	_, err := s.Leak(context.Background(), e, tilted(Spheres{Intrinsic: 4, Ambient: 8}, 0.5))
	require.ErrorContains(t, err, "want a network of two classes")
	blind := tilted(s, 0.5)
	blind.Logits = func(_ *model.Scope, x *Node) *Node { return Slice(MulScalar(x, 0), AxisRange(), AxisRange(0, 2)) }
	_, err = s.Leak(context.Background(), e, blind)
	require.ErrorContains(t, err, "right on 1000 and 0 of 2000 fresh points, by class: want 40 each")
	stopped, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = s.Leak(stopped, e, tilted(s, 0.5))
	require.ErrorIs(t, err, context.Canceled)
}
