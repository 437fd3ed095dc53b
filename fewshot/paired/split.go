package paired

import (
	"cmp"
	"context"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/datasets"
)

// Split is what a method sees, Source and Few, and what it is measured on. No held-out content is one of training.
type Split struct {
	Source       *tensors.Tensor // [Train, Size, Size, 3] in [-1, 1]
	SourceLabels []int32         // classes of the contents: for measuring alone
	Few          *Set            // the first pairs of Train
	HeldOut      *Set
	Train        *Set // all training pairs, whose sources are Source: for the scorer alone
	ClassNames   []string
}

// Options says how a [Split] is made.
type Options struct {
	// Domain is the appearance of the target; zero: Ink for [Digits], Typeface for [Glyphs].
	Domain Domain
	// Pairs is the number K of pairs, at least 2, as many of each class as of any other to within one; zero: 20.
	Pairs int
	// Train is the number of source images, zero: 2000; HeldOut that of held-out pairs, zero: 400. Classes are balanced.
	Train, HeldOut int
	// Size is the height and width of images: 16 (zero) or 32.
	Size int
	// Seed chooses contents and colors. A smaller split of the same seed holds the first images of a larger one.
	Seed int64
	// Data says where MNIST lies, and which characters the glyphs are.
	Data datasets.Options
	// Typefaces of source and target, for Glyphs, of [datasets.TypefaceNames]; zero: liberation-sans and
	// liberation-serif-bold. Only the domain Typeface uses the second.
	Typefaces [2]string
}

// withDefaults fills in zero fields and checks the others.
func (o Options) withDefaults(domain Domain) (Options, error) {
	o.Domain, o.Pairs = cmp.Or(o.Domain, domain), cmp.Or(o.Pairs, 20)
	o.Train, o.HeldOut, o.Size = cmp.Or(o.Train, 2000), cmp.Or(o.HeldOut, 400), cmp.Or(o.Size, 16)
	o.Typefaces[0] = cmp.Or(o.Typefaces[0], "liberation-sans")
	o.Typefaces[1] = cmp.Or(o.Typefaces[1], "liberation-serif-bold")
	switch {
	case !slices.Contains(Domains, o.Domain):
		return o, errors.Errorf("paired: no domain %q: want one of %v", o.Domain, Domains)
	case o.Pairs < 2:
		return o, errors.Errorf("paired: K=%d: the relation loss needs at least 2 pairs", o.Pairs)
	case o.Train < o.Pairs:
		return o, errors.Errorf("paired: %d source images, %d pairs: want at least as many source images, as pairs are of them", o.Train, o.Pairs)
	case o.HeldOut < 2:
		return o, errors.Errorf("paired: %d held-out pairs: want at least 2", o.HeldOut)
	case o.Size != 16 && o.Size != 32:
		return o, errors.Errorf("paired: images of %d by %d pixels: want 16 or 32", o.Size, o.Size)
	}
	return o, nil
}

// content is what a pair shows: gray images of 28 by 28 pixels for source and target, which are the same but for typefaces.
type content struct {
	source, target []uint8
	label          int32
	id             uint64 // of the content within its split, from which colors follow
}

// Digits makes pairs from the handwritten digits of MNIST: training contents from its training images, held-out contents
// from its test images, 28 by 28 pixels padded to 32 by 32; of these, the middle 24 by 24 are averaged for 16 by 16. MNIST is read as
// [datasets.Load] does.
func Digits(ctx context.Context, o Options) (*Split, error) {
	o, err := o.withDefaults(Ink)
	if err != nil {
		return nil, err
	}
	if o.Domain == Typeface {
		return nil, errors.New("paired: handwritten digits have no typeface: use Glyphs, or another domain")
	}
	train, test, err := datasets.Load(ctx, "mnist", o.Data)
	if err != nil {
		return nil, errors.WithMessage(err, "paired")
	}
	return o.fromSets(ctx, train, test)
}

// fromSets makes pairs from gray images of 28 by 28 pixels. The options are complete.
func (o Options) fromSets(ctx context.Context, train, test *datasets.Set) (*Split, error) {
	take := func(set *datasets.Set, n int) ([]content, error) {
		if n > set.Len() {
			return nil, errors.Errorf("paired: %d contents wanted: want at most %d, the size of the %s split of %s",
				n, set.Len(), set.Split, set.Name)
		}
		var contents []content
		for _, row := range balanced(set.Labels, set.Classes, o.Seed)[:n] {
			gray := set.Bytes(row)
			contents = append(contents, content{gray, gray, set.Labels[row], uint64(row)})
		}
		return contents, nil
	}
	a, err := take(train, o.Train)
	if err != nil {
		return nil, err
	}
	b, err := take(test, o.HeldOut)
	if err != nil {
		return nil, err
	}
	return o.split(ctx, a, b, train.ClassNames)
}

// balanced orders all rows so that every beginning of them has as many of one class as of any other to within one, as long
// as no class is used up. Within a class the order is random.
func balanced(labels []int32, classes int, seed int64) []int {
	byClass := make([][]int, classes)
	for row, l := range labels {
		byClass[l] = append(byClass[l], row)
	}
	rounds := 0
	for c, rows := range byClass {
		stream(seed, "contents", uint64(c)).Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		rounds = max(rounds, len(rows))
	}
	var order []int
	for round := range rounds {
		for _, c := range stream(seed, "rounds", uint64(round)).Perm(classes) {
			if round < len(byClass[c]) {
				order = append(order, byClass[c][round])
			}
		}
	}
	return order
}

// heldOutFrom is the index of the first held-out glyph of a class: training contents lie below.
const heldOutFrom = 1 << 40

// Glyphs makes pairs from printed characters, rendered from fonts: of the digits, unless o.Data.Glyphs says otherwise. In
// the domain [Typeface] source and target are the same character with the same pose and strokes in two typefaces; in the
// other domains both are in the first typeface. A character that a typeface lacks is an error.
func Glyphs(ctx context.Context, o Options) (*Split, error) {
	o, err := o.withDefaults(Typeface)
	if err != nil {
		return nil, err
	}
	if o.Domain != Typeface {
		o.Typefaces[1] = o.Typefaces[0]
	} else if o.Typefaces[0] == o.Typefaces[1] {
		return nil, errors.Errorf("paired: source and target are both in %s: want two typefaces", o.Typefaces[0])
	}
	gen, err := datasets.NewGlyphGenerator(o.Seed, o.Data.Glyphs)
	if err != nil {
		return nil, errors.WithMessage(err, "paired")
	}
	render := func(from, n int) ([]content, error) {
		var contents []content
		for round := 0; len(contents) < n; round++ {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			order := stream(o.Seed, "rounds", uint64(round)).Perm(gen.Classes())
			for _, class := range order[:min(len(order), n-len(contents))] {
				c := content{label: int32(class), id: uint64(round)<<20 | uint64(class)}
				var err error
				if c.source, err = gen.ImageIn(o.Typefaces[0], class, from+round); err == nil {
					c.target, err = gen.ImageIn(o.Typefaces[1], class, from+round)
				}
				if err != nil {
					return nil, errors.WithMessage(err, "paired")
				}
				contents = append(contents, c)
			}
		}
		return contents, nil
	}
	train, err := render(0, o.Train)
	if err != nil {
		return nil, err
	}
	heldOut, err := render(heldOutFrom, o.HeldOut)
	if err != nil {
		return nil, err
	}
	return o.split(ctx, train, heldOut, gen.ClassNames())
}

// split paints the contents and parts them.
func (o Options) split(ctx context.Context, train, heldOut []content, classNames []string) (*Split, error) {
	s := &Split{ClassNames: classNames}
	var err error
	if s.Train, err = o.paint(ctx, "train", train, len(classNames)); err != nil {
		return nil, err
	}
	if s.HeldOut, err = o.paint(ctx, "heldout", heldOut, len(classNames)); err != nil {
		return nil, err
	}
	few := make([]int, o.Pairs)
	for i := range few {
		few[i] = i
	}
	s.Source, s.SourceLabels, s.Few = s.Train.Source, s.Train.Labels, s.Train.Subset(few)
	return s, nil
}

// paint renders both images of each content, whose colors depend on seed, part and content alone.
func (o Options) paint(ctx context.Context, part string, contents []content, classes int) (*Set, error) {
	size := o.Size * o.Size * 3
	source, target := make([]float32, len(contents)*size), make([]float32, len(contents)*size)
	labels := make([]int32, len(contents))
	for i, c := range contents {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		labels[i] = c.label
		row := func(flat []float32) []float32 { return flat[i*size : (i+1)*size] }
		paintSource(row(source), newMask(c.source).shrink(o.Size), stream(o.Seed, part+"/source", c.id))
		shaped := o.Domain.shape(newMask(c.target)).shrink(o.Size)
		o.Domain.paintTarget(row(target), shaped, stream(o.Seed, part+"/target", c.id))
	}
	dims := []int{len(contents), o.Size, o.Size, 3}
	return &Set{Source: tensors.FromFlatDataAndDimensions(source, dims...), Target: tensors.FromFlatDataAndDimensions(target, dims...),
		Labels: labels, Classes: classes}, nil
}
