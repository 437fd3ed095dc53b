package report

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sampleAnimation has colors of many levels; frames move a disk.
func sampleAnimation(frames, levels int) *Animation {
	rng := rand.New(rand.NewPCG(11, 12))
	a := &Animation{Title: "Samples in training", Caption: "From noise to *digits*."}
	for k := range frames {
		g := &Grid{Title: fmt.Sprintf("step %d", 100*k), Columns: []string{"first", "second"}, RowNames: []string{"plain"}, Enlarge: 4}
		var row []Image
		for j := range 2 {
			m := NewImage(make([]float32, 16*16*3), 16, 16, 3)
			for y := range 16 {
				for x := range 16 {
					if math.Hypot(float64(x-k), float64(y-8)) < float64(4+j) {
						for c := range 3 {
							m.Pixels[3*(16*y+x)+c] = float32(rng.IntN(levels)) / float32(levels-1)
						}
					}
				}
			}
			row = append(row, m)
		}
		g.Rows = [][]Image{row}
		a.Frames = append(a.Frames, g)
	}
	return a
}

// apngFrame is a frame as a browser shows it.
type apngFrame struct {
	img   *image.RGBA
	shown time.Duration
}

// decodeAPNG plays a file, chunk by chunk; image/png checks the checksums and decodes what each frame holds.
func decodeAPNG(t *testing.T, data []byte) (frames []apngFrame, plays uint32) {
	t.Helper()
	require.True(t, bytes.HasPrefix(data, []byte(pngSignature)))
	var header, palette, control []byte
	var canvas *image.RGBA
	count, sequence := -1, uint32(0)
	next := func(got uint32) {
		require.Equal(t, sequence, got)
		sequence++
	}
	show := func(idat []byte) {
		require.NotNil(t, control)
		w, h := binary.BigEndian.Uint32(control), binary.BigEndian.Uint32(control[4:])
		x, y := int(binary.BigEndian.Uint32(control[8:])), int(binary.BigEndian.Uint32(control[12:]))
		ihdr := append(append([]byte{}, control[:8]...), header[8:]...)
		file := bytes.NewBufferString(pngSignature)
		writeChunk(file, "IHDR", ihdr)
		writeChunk(file, "PLTE", palette)
		writeChunk(file, "IDAT", idat)
		writeChunk(file, "IEND", nil)
		img, err := png.Decode(file)
		require.NoError(t, err)
		require.Equal(t, image.Rect(0, 0, int(w), int(h)), img.Bounds())
		area := img.Bounds().Add(image.Pt(x, y))
		require.True(t, area.In(canvas.Rect))
		draw.Draw(canvas, area, img, image.Point{}, draw.Src)
		require.Equal(t, []byte{0, 0}, control[20:22], "frames stay, and replace")
		shown := time.Duration(binary.BigEndian.Uint16(control[16:])) * time.Second / time.Duration(binary.BigEndian.Uint16(control[18:]))
		frame := image.NewRGBA(canvas.Rect)
		copy(frame.Pix, canvas.Pix)
		frames, control = append(frames, apngFrame{frame, shown}), nil
	}
	for rest := data[8:]; len(rest) > 0; {
		n := binary.BigEndian.Uint32(rest)
		kind, body := string(rest[4:8]), rest[8:8+n]
		rest = rest[12+n:]
		switch kind {
		case "IHDR":
			header = body
			canvas = image.NewRGBA(image.Rect(0, 0, int(binary.BigEndian.Uint32(body)), int(binary.BigEndian.Uint32(body[4:]))))
		case "acTL":
			count, plays = int(binary.BigEndian.Uint32(body)), binary.BigEndian.Uint32(body[4:])
		case "PLTE":
			palette = body
		case "fcTL":
			next(binary.BigEndian.Uint32(body))
			control = body[4:]
		case "IDAT":
			show(body)
		case "fdAT":
			next(binary.BigEndian.Uint32(body))
			show(body[4:])
		case "IEND":
			require.Empty(t, rest)
		default:
			t.Fatalf("a chunk %q", kind)
		}
	}
	require.Len(t, frames, count)
	// What knows no animations sees the first frame.
	still, err := png.Decode(bytes.NewReader(data))
	require.NoError(t, err)
	require.Zero(t, worstDifference(still, frames[0].img))
	return frames, plays
}

// worstDifference is the largest difference of a channel.
func worstDifference(a, b image.Image) (worst int) {
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			p, q := color.RGBAModel.Convert(a.At(x, y)).(color.RGBA), color.RGBAModel.Convert(b.At(x, y)).(color.RGBA)
			for _, d := range []int{int(p.R) - int(q.R), int(p.G) - int(q.G), int(p.B) - int(q.B)} {
				worst = max(worst, d, -d)
			}
		}
	}
	return worst
}

// Frames are the grids' own pictures: exactly where the colors fit a palette, nearly where they do not.
func TestAnimationPlays(t *testing.T) {
	for levels, tolerance := range map[int]int{2: 0, 200: 60} {
		a := sampleAnimation(6, levels)
		data, err := a.PNG()
		require.NoError(t, err)
		again, err := a.PNG()
		require.NoError(t, err)
		require.Equal(t, data, again)
		require.Less(t, len(data), 150000)
		frames, plays := decodeAPNG(t, data)
		require.Len(t, frames, 6)
		require.Zero(t, plays)
		for i, f := range frames {
			want, err := a.Frames[i].PNG()
			require.NoError(t, err)
			grid, err := png.Decode(bytes.NewReader(want))
			require.NoError(t, err)
			require.Equal(t, grid.Bounds(), f.img.Rect)
			require.LessOrEqual(t, worstDifference(f.img, grid), tolerance, "%d levels, frame %d", levels, i)
			require.Equal(t, color.RGBA{255, 255, 255, 255}, f.img.RGBAAt(0, 0), "paper stays white")
			if i > 0 {
				require.NotZero(t, worstDifference(f.img, frames[i-1].img))
			}
			if i < 5 {
				require.Equal(t, 400*time.Millisecond, f.shown)
			}
		}
		require.Equal(t, 2*time.Second, frames[5].shown)
	}
	a := sampleAnimation(2, 2)
	a.Frames[1] = a.Frames[0] // nothing changes
	a.Delay, a.Hold, a.Plays = 20*time.Millisecond, time.Minute, 3
	data, err := a.PNG()
	require.NoError(t, err)
	frames, plays := decodeAPNG(t, data)
	require.Equal(t, uint32(3), plays)
	require.Equal(t, []time.Duration{20 * time.Millisecond, time.Minute}, []time.Duration{frames[0].shown, frames[1].shown})
	require.Zero(t, worstDifference(frames[0].img, frames[1].img))
}

// Frames whose captions and names take more room than others' have one layout.
func TestAnimationDoesNotJump(t *testing.T) {
	a := sampleAnimation(3, 2)
	a.Frames[1].RowNames = []string{"a much longer name of a row"}
	a.Frames[2].Rows[0][1].Caption = "a caption wider than its image is"
	a.Frames[2].Title = ""
	for i := range a.Frames { // the same upper left image in all
		a.Frames[i].Rows[0][0] = a.Frames[0].Rows[0][0]
	}
	data, err := a.PNG()
	require.NoError(t, err)
	frames, _ := decodeAPNG(t, data)
	st := newStyle(&Figure{})
	l := a.Frames[1].layout(st)
	x := int(l.left) + (int(a.Frames[2].layout(st).cellWidth)-gridPad-64)/2
	area := image.Rect(x, int(l.top), x+64, int(l.top)+64)
	for _, f := range frames {
		require.Zero(t, worstDifference(f.img.SubImage(area), frames[0].img.SubImage(area)))
	}
}

// What is too large loses colors, then frames between the first and the last.
func TestAnimationKeepsItsSize(t *testing.T) {
	a := sampleAnimation(9, 200)
	whole, err := a.PNG()
	require.NoError(t, err)
	before := len(whole) + 1
	for _, most := range []int{len(whole) - 1, len(whole) / 2, len(whole) / 3} {
		a.MaxBytes = most
		data, err := a.PNG()
		require.NoError(t, err)
		require.LessOrEqual(t, len(data), most)
		require.Less(t, len(data), before)
		before = len(data)
		frames, _ := decodeAPNG(t, data)
		for i, k := range map[int]int{0: 0, len(frames) - 1: 8} {
			want, err := a.Frames[k].PNG()
			require.NoError(t, err)
			grid, err := png.Decode(bytes.NewReader(want))
			require.NoError(t, err)
			require.LessOrEqual(t, worstDifference(frames[i].img, grid), 128)
		}
	}
	frames, _ := decodeAPNG(t, must(t, a.PNG))
	require.Less(t, len(frames), 9)
	require.Equal(t, 2*time.Second, frames[len(frames)-1].shown)
	a.MaxBytes = 500
	_, err = a.PNG()
	require.ErrorContains(t, err, "two frames take")
}

func must(t *testing.T, draw func() ([]byte, error)) []byte {
	t.Helper()
	data, err := draw()
	require.NoError(t, err)
	return data
}

func TestAnimationRefuses(t *testing.T) {
	for want, spoil := range map[string]func(a *Animation){
		`animation "Samples in training": 1 frames: give it 2 to 1000`: func(a *Animation) { a.Frames = a.Frames[:1] },
		"frame 2 is nil":                          func(a *Animation) { a.Frames[1] = nil },
		"frame 3: grid \"step 200\" has no rows":  func(a *Animation) { a.Frames[2].Rows = nil },
		"frame 2 has 2 rows by 2 columns":         func(a *Animation) { a.Frames[1].Rows = append(a.Frames[1].Rows, a.Frames[1].Rows[0]) },
		"frame 2 has 1 rows by 1 columns":         func(a *Animation) { a.Frames[1].Rows[0] = a.Frames[1].Rows[0][:1] },
		"enlarged 5 times, the first 1 rows by 2": func(a *Animation) { a.Frames[2].Enlarge = 5 },
		"a delay of 1ms: want 20ms to 1m":         func(a *Animation) { a.Delay = time.Millisecond },
		"a hold of 2m0s":                          func(a *Animation) { a.Hold = 2 * time.Minute },
		"-1 plays":                                func(a *Animation) { a.Plays = -1 },
		"row 1, column 2: 5 numbers for an image": func(a *Animation) { a.Frames[1].Rows[0][1].Pixels = make([]float32, 5) },
		"show fewer frames or images": func(a *Animation) {
			for len(a.Frames) < 1000 {
				a.Frames = append(a.Frames, a.Frames[0])
			}
			for _, g := range a.Frames {
				g.Enlarge = 30
			}
		},
	} {
		a := sampleAnimation(3, 2)
		spoil(a)
		_, err := a.PNG()
		require.ErrorContains(t, err, want)
		_, err = Save(t.TempDir(), a)
		require.Error(t, err)
		require.Error(t, Show(a))
	}
	require.Error(t, Show((*Animation)(nil)))
	_, err := Save(t.TempDir(), (*Animation)(nil))
	require.Error(t, err)
	_, err = (*Animation)(nil).html()
	require.Error(t, err)
}

// A document holds the animation, and its last frame for paper and for who wants less motion; Save and Show know it.
func TestAnimationIsAPart(t *testing.T) {
	a := sampleAnimation(4, 200)
	doc := &Document{Title: "A report", Sections: []Section{{"Samples", []Part{a}}}}
	html, err := doc.HTML()
	require.NoError(t, err)
	found := regexp.MustCompile(`<source media="\(prefers-reduced-motion: reduce\), print" srcset="data:image/png;base64,([^"]+)">` +
		`<img src="data:image/png;base64,([^"]+)" alt="([^"]+)" width="\d+" height="\d+"></picture>`).FindSubmatch(html)
	require.NotNil(t, found)
	data := must(t, a.PNG)
	embedded, err := base64.StdEncoding.DecodeString(string(found[2]))
	require.NoError(t, err)
	require.Equal(t, data, embedded)
	embedded, err = base64.StdEncoding.DecodeString(string(found[1]))
	require.NoError(t, err)
	still, err := png.Decode(bytes.NewReader(embedded))
	require.NoError(t, err)
	last, err := png.Decode(bytes.NewReader(must(t, a.Frames[3].PNG)))
	require.NoError(t, err)
	require.Less(t, worstDifference(still, last), 60)
	require.Equal(t, a.AltText(), string(found[3]))
	require.Equal(t, "Samples in training. animation of 4 frames, the last: step 300. grid of 1 by 2 images: first, second", a.AltText())
	require.Contains(t, string(html), "<figcaption>From noise to <em>digits</em>.</figcaption>")

	dir := t.TempDir()
	saved, err := Save(dir, a, sampleGrid())
	require.NoError(t, err)
	require.Equal(t, []string{"figures/samples-in-training.png", "figures/clean-perturbed-difference.png"}, saved.Figures)
	file, err := os.ReadFile(filepath.Join(dir, saved.Figures[0]))
	require.NoError(t, err)
	require.Equal(t, data, file)
	text := captured(t, func() {
		require.NoError(t, Show(a))
		require.NoError(t, Show(*a))
		require.NoError(t, Show([]*Animation{a}))
	})
	require.Equal(t, 3, strings.Count(text, "Animation ("))
	a.Alt = "a disk moves"
	require.Equal(t, "a disk moves", a.AltText())
}

// Every color has an entry; few colors are kept to the bit, of many the frequent ones; more entries mean less error.
func TestMedianCut(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 2, 16, 17, 256, 257, 5000} {
		counts := map[[3]uint8]int{{255, 255, 255}: 10 * n}
		for len(counts) < n {
			counts[[3]uint8{uint8(rng.IntN(256)), uint8(rng.IntN(256)), uint8(rng.IntN(128))}] = 1 + rng.IntN(5)
		}
		before := math.Inf(1)
		for _, size := range []int{2, 16, 64, 256} {
			palette, index := medianCut(counts, size)
			require.Len(t, palette, min(size, n))
			require.Len(t, index, n)
			sum := 0.0
			for c, count := range counts {
				p := palette[index[c]].(color.RGBA)
				for k, v := range []uint8{p.R, p.G, p.B} {
					d := float64(v) - float64(c[k])
					sum += float64(count) * d * d
				}
			}
			require.Equal(t, color.RGBA{255, 255, 255, 255}, palette[index[[3]uint8{255, 255, 255}]])
			if n <= size {
				require.Zero(t, sum)
			} else {
				require.Less(t, sum, before)
			}
			before = sum
		}
	}
}
