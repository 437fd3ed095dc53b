// Package lab changes the colors of images in graphs, by way of CIELAB, whose L is lightness and whose a (green to red) and b
// (blue to yellow) are color: PFS-GAN (Teng, Chen, Chiu; ICASSP 2021, arXiv 2102.12765) shifts a and b of its few target
// images anew in every step, so that what is learned of their content does not hang on color.
//
//	channelRange := lab.Range(targets)                // once, of the target images
//	shifted := lab.Shift(scope, targets, channelRange) // in every step
//
// Colors are sRGB (IEC 61966-2-1) under the illuminant D65, for an observer of 2° (CIE 15). All functions build graphs and
// panic on error. They add and multiply channels one by one: on GPUs a product of matrices may round to ten bits.
package lab

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// matrix3 takes three channels to three others.
type matrix3 [3][3]float64

// toXYZ takes linear RGB to XYZ, Y of white being 1; white is the XYZ of D65.
var (
	toXYZ = matrix3{{0.412453, 0.357580, 0.180423}, {0.212671, 0.715160, 0.072169}, {0.019334, 0.119193, 0.950227}}
	white = [3]float64{0.95047, 1, 1.08883}
)

// inverse returns the inverse of m, by its adjugate.
func (m matrix3) inverse() (inv matrix3) {
	minor := func(r, c int) float64 { // signed, as rows and columns go around
		r1, r2, c1, c2 := (r+1)%3, (r+2)%3, (c+1)%3, (c+2)%3
		return m[r1][c1]*m[r2][c2] - m[r1][c2]*m[r2][c1]
	}
	det := m[0][0]*minor(0, 0) + m[0][1]*minor(0, 1) + m[0][2]*minor(0, 2)
	for r := range 3 {
		for c := range 3 {
			inv[c][r] = minor(r, c) / det
		}
	}
	return inv
}

// apply multiplies three channels.
func (m matrix3) apply(channels []*graph.Node) []*graph.Node {
	out := make([]*graph.Node, 3)
	for r := range out {
		out[r] = graph.MulScalar(channels[0], m[r][0])
		for c := 1; c < 3; c++ {
			out[r] = graph.Add(out[r], graph.MulScalar(channels[c], m[r][c]))
		}
	}
	return out
}

// Where the curve of sRGB turns from a line into a power, as a value and as light; where that of CIELAB does, and its slope
// below.
const (
	knee, kneeLight  = 0.04045, 0.0031308
	delta            = 6. / 29
	cubeKnee         = delta * delta * delta
	slope, intercept = 1 / (3 * delta * delta), 16. / 116
)

// RGBToLab takes sRGB images, [..., 3] with values in [0, 1], to CIELAB, [..., 3]: L in [0, 100], a and b of about -110 to
// 110. Gradients are finite everywhere, at black too.
func RGBToLab(x *graph.Node) *graph.Node {
	channels := split(x, "RGB")
	for i, v := range channels {
		// The power's base is kept above the knee, so that where the line is taken its unused slope is no NaN.
		power := graph.PowScalar(graph.DivScalar(graph.AddScalar(graph.MaxScalar(v, knee), 0.055), 1.055), 2.4)
		channels[i] = above(v, knee, power, graph.DivScalar(v, 12.92))
	}
	channels = toXYZ.apply(channels)
	for i, v := range channels {
		t := graph.DivScalar(v, white[i])
		root := graph.PowScalar(graph.MaxScalar(t, cubeKnee), 1./3)
		channels[i] = above(t, cubeKnee, root, graph.AddScalar(graph.MulScalar(t, slope), intercept))
	}
	fx, fy, fz := channels[0], channels[1], channels[2]
	l := graph.AddScalar(graph.MulScalar(fy, 116), -16)
	a, b := graph.MulScalar(graph.Sub(fx, fy), 500), graph.MulScalar(graph.Sub(fy, fz), 200)
	return graph.Concatenate([]*graph.Node{l, a, b}, -1)
}

// LabToRGB is the inverse of [RGBToLab]. A color that no display shows comes back with values outside [0, 1]: clip them.
func LabToRGB(x *graph.Node) *graph.Node {
	channels := split(x, "Lab")
	fy := graph.DivScalar(graph.AddScalar(channels[0], 16), 116)
	channels = []*graph.Node{graph.Add(fy, graph.DivScalar(channels[1], 500)), fy, graph.Sub(fy, graph.DivScalar(channels[2], 200))}
	for i, f := range channels {
		cube := graph.Mul(graph.Mul(f, f), f)
		t := above(f, delta, cube, graph.DivScalar(graph.AddScalar(f, -intercept), slope))
		channels[i] = graph.MulScalar(t, white[i])
	}
	channels = toXYZ.inverse().apply(channels)
	for i, v := range channels {
		power := graph.AddScalar(graph.MulScalar(graph.PowScalar(graph.MaxScalar(v, kneeLight), 1/2.4), 1.055), -0.055)
		channels[i] = above(v, kneeLight, power, graph.MulScalar(v, 12.92))
	}
	return graph.Concatenate(channels, -1)
}

// above is one thing where v lies above a knee, and another elsewhere.
func above(v *graph.Node, knee float64, over, under *graph.Node) *graph.Node {
	return graph.Where(graph.GreaterThan(v, graph.Scalar(v.Graph(), v.DType(), knee)), over, under)
}

// split returns the three channels, [..., 1] each.
func split(x *graph.Node, what string) []*graph.Node {
	if x.Rank() < 1 || x.Shape().Dim(-1) != 3 || !x.DType().IsFloat() {
		exceptions.Panicf("lab: images are %s: want floating-point [..., 3], channels last, in %s", x.Shape(), what)
	}
	return graph.Split(x, -1, 3)
}
