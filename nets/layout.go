package nets

// Layout says how the values of an image lie: the sizes of its axes, and whether the channels come first.
type Layout struct {
	Height, Width, Channels int
	ChannelsFirst           bool // [channels, height, width], as in most imported networks; else [height, width, channels]
}

// LayoutOf reads the shape of one image, without the batch axis: [height, width], or three axes of which the channels'
// is the smaller of the first and the last, of equal ones the last. ok is false for other shapes: no images.
func LayoutOf(shape []int) (l Layout, ok bool) {
	switch {
	case len(shape) == 2:
		return Layout{Height: shape[0], Width: shape[1], Channels: 1}, true
	case len(shape) == 3 && shape[0] < shape[2]:
		return Layout{Height: shape[1], Width: shape[2], Channels: shape[0], ChannelsFirst: true}, true
	case len(shape) == 3:
		return Layout{Height: shape[0], Width: shape[1], Channels: shape[2]}, true
	}
	return l, false
}

// Axes returns the axes of height and width of a batch of such images.
func (l Layout) Axes() (height, width int) {
	if l.ChannelsFirst {
		return 2, 3
	}
	return 1, 2
}
