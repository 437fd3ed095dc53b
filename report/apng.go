package report

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/png"
	"math"
	"time"
)

// pngSignature begins each PNG file.
const pngSignature = "\x89PNG\r\n\x1a\n"

// encodeAPNG writes pictures of one size and palette as an animated PNG (Portable Network Graphics Specification, third
// edition, 2025, section 11.3.5). After the first, each frame holds the rectangle that has changed. Delay and hold, of the
// last frame, are rounded to milliseconds; plays of 0 mean forever.
func encodeAPNG(pictures []*image.Paletted, delay, hold time.Duration, plays int) ([]byte, error) {
	out := bytes.NewBufferString(pngSignature)
	sequence := uint32(0)
	for i, p := range pictures {
		area := p.Rect
		if i > 0 {
			area = bounds(pictures[i-1], p)
		}
		chunks, err := pngChunks(p.SubImage(area))
		if err != nil {
			return nil, err
		}
		if i == 0 {
			writeChunk(out, "IHDR", chunks["IHDR"])
			var control [8]byte
			binary.BigEndian.PutUint32(control[:], uint32(len(pictures)))
			binary.BigEndian.PutUint32(control[4:], uint32(min(plays, math.MaxInt32)))
			writeChunk(out, "acTL", control[:])
			writeChunk(out, "PLTE", chunks["PLTE"])
		}
		shown := delay
		if i == len(pictures)-1 {
			shown = hold
		}
		writeChunk(out, "fcTL", frameControl(sequence, area, shown))
		sequence++
		if i == 0 {
			writeChunk(out, "IDAT", chunks["IDAT"])
			continue
		}
		writeChunk(out, "fdAT", append(binary.BigEndian.AppendUint32(nil, sequence), chunks["IDAT"]...))
		sequence++
	}
	writeChunk(out, "IEND", nil)
	return out.Bytes(), nil
}

// frameControl is the chunk before a frame: where it lies and how long it is shown. It stays when the next one comes, and
// replaces what was there.
func frameControl(sequence uint32, area image.Rectangle, shown time.Duration) []byte {
	var b []byte
	for _, v := range []int{area.Dx(), area.Dy(), area.Min.X, area.Min.Y} {
		b = binary.BigEndian.AppendUint32(b, uint32(v))
	}
	b = append(binary.BigEndian.AppendUint32(nil, sequence), b...)
	b = binary.BigEndian.AppendUint16(b, uint16(min(shown.Milliseconds(), math.MaxUint16)))
	b = binary.BigEndian.AppendUint16(b, 1000)
	return append(b, 0, 0)
}

// pngChunks encodes a picture, and returns the data of its chunks by their type; those of one type are joined.
func pngChunks(img image.Image) (map[string][]byte, error) {
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&b, img); err != nil {
		return nil, err
	}
	return splitChunks(b.Bytes())
}

// splitChunks parts a PNG file.
func splitChunks(data []byte) (map[string][]byte, error) {
	chunks := map[string][]byte{}
	for data = data[len(pngSignature):]; len(data) > 0; {
		if len(data) < 12 || uint64(len(data)) < 12+uint64(binary.BigEndian.Uint32(data)) {
			return nil, errors.New("a PNG file ends within a chunk")
		}
		n := int(binary.BigEndian.Uint32(data))
		kind := string(data[4:8])
		chunks[kind] = append(chunks[kind], data[8:8+n]...)
		data = data[12+n:]
	}
	return chunks, nil
}

// writeChunk writes a chunk: its length, type, data and checksum.
func writeChunk(out *bytes.Buffer, kind string, data []byte) {
	whole := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	whole = append(append(whole, kind...), data...)
	out.Write(binary.BigEndian.AppendUint32(whole, crc32.ChecksumIEEE(whole[4:])))
}
