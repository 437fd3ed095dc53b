package creativity

import "github.com/trustbook/trustbook/study"

// Method is a way to decode that the study compares.
type Method struct {
	Name  string
	About string // a line for readers
	Mode  Mode
}

// The compared ways to decode. Shares are of the changed layer's nodes.
const (
	LowActive10  = "low-active 10 %"
	LowActive20  = "low-active 20 %"
	RandomActive = "low-active, random"
	RandomFlips  = "random flips"
	HighOff10    = "high-active off"
	Noise        = "latent noise"
	Unchanged    = "unchanged"
)

// Methods returns them, in the order in which tables show them, for a layer of so many nodes.
func Methods(nodes int) []Method {
	return []Method{
		{LowActive10, "the least active tenth of the nodes at least at the 90 % quantile of their activity, in all samples",
			LowActive{K: nodes / 10, Q: 0.9}},
		{LowActive20, "the least active fifth at least at their median, in all samples", LowActive{K: nodes / 5, Q: 0.5}},
		{RandomActive, "in each sample its own twentieth of the nodes, of the less active half, at the 90 % quantile",
			LowActiveRandom{K: nodes / 20, Q: 0.9, Pool: 0.5}},
		{RandomFlips, "in each sample its own 15 % of the nodes turned over", RandomFlip{K: nodes * 15 / 100, Q: 0.9}},
		{HighOff10, "the most active tenth switched off, in all samples", HighOff{K: nodes / 10}},
		{Noise, "other latents instead: normal noise of deviation 1 on top", LatentNoise{Sigma: 1}},
		{Unchanged, "no change: other test images, the control", None{}},
	}
}

// methodsNamed picks methods by name, in the order of Methods.
func methodsNamed(names []string, nodes int) ([]Method, error) {
	return study.Pick("method", names, Methods(nodes), func(m Method) string { return m.Name })
}
