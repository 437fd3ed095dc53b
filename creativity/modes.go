package creativity

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/pkg/errors"
)

// Mode is a way to decode. The paper's creative decoder makes nodes work together that rarely do: nodes of a hidden layer are
// chosen by how active they are, and their activations are changed. Only abstracts of its description could be read, so that
// the modes here are ours.
type Mode interface {
	// Name tells the mode and its settings.
	Name() string
	// Latents may change latents [samples][values] in place, before they are decoded.
	Latents(z [][]float32, rng *rand.Rand)
	// Nodes may change activations [samples][nodes] in place. It returns the nodes that it changes in all samples alike, if
	// there are such.
	Nodes(a [][]float32, p *Profile, rng *rand.Rand) (changed []int, err error)
}

// ofNodes is the half of a mode that leaves latents alone.
type ofNodes struct{}

// Latents implements [Mode]: it changes nothing.
func (ofNodes) Latents([][]float32, *rand.Rand) {}

// None decodes as ever.
type None struct{ ofNodes }

// Name implements [Mode].
func (None) Name() string { return "none" }

// Nodes implements [Mode]: it changes nothing.
func (None) Nodes([][]float32, *Profile, *rand.Rand) ([]int, error) { return nil, nil }

// LowActive switches the K least active live nodes on, in all samples: each is at least the Q-quantile of its activations
// above 0.
type LowActive struct {
	ofNodes
	K int
	Q float64
}

// Name implements [Mode].
func (m LowActive) Name() string { return fmt.Sprintf("low-active %d at %g", m.K, m.Q) }

// Nodes implements [Mode].
func (m LowActive) Nodes(a [][]float32, p *Profile, _ *rand.Rand) ([]int, error) {
	if err := p.pick(m.Name(), m.K, len(p.Live)); err != nil {
		return nil, err
	}
	changed := slices.Sorted(slices.Values(p.Live[:m.K]))
	for _, j := range changed {
		on := p.On(j, m.Q)
		for _, row := range a {
			row[j] = max(row[j], on)
		}
	}
	return changed, nil
}

// LowActiveRandom is LowActive with other nodes for each sample: K of the given share of the live nodes, the least active ones.
type LowActiveRandom struct {
	ofNodes
	K    int
	Q    float64
	Pool float64 // from 0 to 1
}

// Name implements [Mode].
func (m LowActiveRandom) Name() string {
	return fmt.Sprintf("low-active, each its %d of %g%%, at %g", m.K, 100*m.Pool, m.Q)
}

// Nodes implements [Mode].
func (m LowActiveRandom) Nodes(a [][]float32, p *Profile, rng *rand.Rand) ([]int, error) {
	if !(m.Pool > 0 && m.Pool <= 1) {
		return nil, errors.Errorf("creativity: pool of %g: want a share above 0 and at most 1", m.Pool)
	}
	pool := p.Live[:int(math.Ceil(m.Pool*float64(len(p.Live))))]
	if err := p.pick(m.Name(), m.K, len(pool)); err != nil {
		return nil, err
	}
	for _, row := range a {
		for _, i := range rng.Perm(len(pool))[:m.K] {
			row[pool[i]] = max(row[pool[i]], p.On(pool[i], m.Q))
		}
	}
	return nil, nil
}

// RandomFlip turns K live nodes over, other ones for each sample: active ones off, the others on.
type RandomFlip struct {
	ofNodes
	K int
	Q float64
}

// Name implements [Mode].
func (m RandomFlip) Name() string { return fmt.Sprintf("flip, each its %d, at %g", m.K, m.Q) }

// Nodes implements [Mode].
func (m RandomFlip) Nodes(a [][]float32, p *Profile, rng *rand.Rand) ([]int, error) {
	if err := p.pick(m.Name(), m.K, len(p.Live)); err != nil {
		return nil, err
	}
	for _, row := range a {
		for _, i := range rng.Perm(len(p.Live))[:m.K] {
			if j := p.Live[i]; row[j] > 0 {
				row[j] = 0
			} else {
				row[j] = p.On(j, m.Q)
			}
		}
	}
	return nil, nil
}

// HighOff switches the K most active nodes off, in all samples.
type HighOff struct {
	ofNodes
	K int
}

// Name implements [Mode].
func (m HighOff) Name() string { return fmt.Sprintf("high-active %d off", m.K) }

// Nodes implements [Mode].
func (m HighOff) Nodes(a [][]float32, p *Profile, _ *rand.Rand) ([]int, error) {
	if err := p.pick(m.Name(), m.K, len(p.Live)); err != nil {
		return nil, err
	}
	changed := slices.Sorted(slices.Values(p.Live[len(p.Live)-m.K:]))
	for _, j := range changed {
		for _, row := range a {
			row[j] = 0
		}
	}
	return changed, nil
}

// LatentNoise moves latents by normal noise instead: new images, decoded as ever.
type LatentNoise struct{ Sigma float64 }

// Name implements [Mode].
func (m LatentNoise) Name() string { return fmt.Sprintf("latent noise %g", m.Sigma) }

// Latents implements [Mode].
func (m LatentNoise) Latents(z [][]float32, rng *rand.Rand) {
	for _, row := range z {
		for i := range row {
			row[i] += float32(m.Sigma * rng.NormFloat64())
		}
	}
}

// Nodes implements [Mode]: it changes nothing.
func (LatentNoise) Nodes([][]float32, *Profile, *rand.Rand) ([]int, error) { return nil, nil }
