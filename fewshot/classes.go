package fewshot

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/datasets"
)

// Class is a class with its images, each height·width·channels numbers in [0, 1].
type Class struct {
	Name   string
	Images [][]float32
}

// ClassSet is a collection of classes from which episodes are drawn. Treat it as read-only.
type ClassSet struct {
	Name    string
	Note    string // what a reader of a figure must know about the source; often empty
	Shape   []int  // of one image: [height, width, channels]
	Classes []Class

	sum string // Checksum
}

// NewClassSet makes a set of classes whose images have the given shape [height, width, channels] and values in [0, 1].
// It keeps the slices. Classes must have different names.
func NewClassSet(name string, shape []int, classes []Class) (*ClassSet, error) {
	size := 1
	for _, d := range shape {
		size *= max(d, 0)
	}
	if len(shape) != 3 || size == 0 {
		return nil, errors.Errorf("fewshot: %s: images of shape %v: want [height, width, channels]", name, shape)
	}
	if len(classes) == 0 {
		return nil, errors.Errorf("fewshot: %s: no classes", name)
	}
	seen, sum := map[string]bool{}, sha256.New()
	fmt.Fprintln(sum, shape)
	for _, c := range classes {
		if seen[c.Name] {
			return nil, errors.Errorf("fewshot: %s: class %s comes twice: want each class once", name, c.Name)
		}
		seen[c.Name] = true
		if len(c.Images) == 0 {
			return nil, errors.Errorf("fewshot: %s: class %s has no images", name, c.Name)
		}
		fmt.Fprintln(sum, c.Name, len(c.Images))
		for i, image := range c.Images {
			if len(image) != size {
				return nil, errors.Errorf("fewshot: %s: image %d of class %s has %d values: want %d for shape %v",
					name, i, c.Name, len(image), size, shape)
			}
			for _, v := range image {
				if !(v >= 0 && v <= 1) {
					return nil, errors.Errorf("fewshot: %s: image %d of class %s has the value %g: want values in [0, 1]", name, i, c.Name, v)
				}
			}
			_ = binary.Write(sum, binary.LittleEndian, image) // a hash takes every write
		}
	}
	return &ClassSet{Name: name, Shape: slices.Clone(shape), Classes: classes, sum: hex.EncodeToString(sum.Sum(nil)[:12])}, nil
}

// FromSet gathers a labeled data set by class.
func FromSet(s *datasets.Set) (*ClassSet, error) {
	classes := make([]Class, s.Classes)
	for i, name := range s.ClassNames {
		classes[i].Name = name
	}
	for i, l := range s.Labels {
		classes[l].Images = append(classes[l].Images, s.Image(i))
	}
	c, err := NewClassSet(s.Name, s.Shape, classes)
	if err == nil {
		c.Note = s.Note
	}
	return c, err
}

// Checksum identifies names and images, in hexadecimal.
func (s *ClassSet) Checksum() string { return s.sum }

// Names are the names of the classes.
func (s *ClassSet) Names() (names []string) {
	for _, c := range s.Classes {
		names = append(names, c.Name)
	}
	return names
}

// Fewest is how many images the smallest class has.
func (s *ClassSet) Fewest() int {
	n := len(s.Classes[0].Images)
	for _, c := range s.Classes {
		n = min(n, len(c.Images))
	}
	return n
}

// Split shuffles the classes and parts them: the first n into train, the others into test. The same seed parts them
// alike on every machine.
func (s *ClassSet) Split(n int, seed int64) (train, test *ClassSet, err error) {
	if n < 1 || n >= len(s.Classes) {
		return nil, nil, errors.Errorf("fewshot: %s: %d classes for training: want 1 to %d, so that some are left for testing",
			s.Name, n, len(s.Classes)-1)
	}
	order := rand.New(rand.NewPCG(uint64(seed), 0x73706c6974)).Perm(len(s.Classes)) // the stream "split"
	part := func(rows []int) (*ClassSet, error) {
		var classes []Class
		for _, r := range rows {
			classes = append(classes, s.Classes[r])
		}
		p, err := NewClassSet(s.Name, s.Shape, classes)
		if err == nil {
			p.Note = s.Note
		}
		return p, err
	}
	if train, err = part(order[:n]); err != nil {
		return nil, nil, err
	}
	test, err = part(order[n:])
	return train, test, err
}

// Disjoint returns an error that names the classes that both sets have: few-shot accuracy on classes that were met in
// training means nothing.
func Disjoint(train, test *ClassSet) error {
	have := map[string]bool{}
	for _, c := range train.Classes {
		have[c.Name] = true
	}
	var shared []string
	for _, c := range test.Classes {
		if have[c.Name] {
			shared = append(shared, c.Name)
		}
	}
	if shared == nil {
		return nil
	}
	n := len(shared)
	if n > 5 {
		shared = append(shared[:5], "…")
	}
	return errors.Errorf("fewshot: meta-train and meta-test share %d classes: %s: take them out of one", n, strings.Join(shared, ", "))
}
