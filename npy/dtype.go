package npy

import (
	"encoding/binary"
	"math"
	"strings"

	"github.com/gomlx/compute/dtypes/float16"
)

// dtype is a type of elements that can be read.
type dtype struct {
	name  string // NumPy's
	width int    // bytes of an element
	// decode reads an element. Integers beyond 2^53 are rounded, which keeps them far outside of all that labels may be.
	decode func(b []byte, o binary.ByteOrder) float64
	white  int // of integer pixels, the value that most likely means white; of booleans 1, for certain; 0 for floats
}

// counts tells whether elements are whole numbers by their type.
func (d dtype) counts() bool { return d.white > 0 }

// known are the types by their code, as it stands behind the byte order in a header.
var known = map[string]dtype{
	"f2": {"float16", 2, func(b []byte, o binary.ByteOrder) float64 { return float16.Float16(o.Uint16(b)).Float64() }, 0},
	"f4": {"float32", 4, func(b []byte, o binary.ByteOrder) float64 { return float64(math.Float32frombits(o.Uint32(b))) }, 0},
	"f8": {"float64", 8, func(b []byte, o binary.ByteOrder) float64 { return math.Float64frombits(o.Uint64(b)) }, 0},
	"i1": {"int8", 1, func(b []byte, _ binary.ByteOrder) float64 { return float64(int8(b[0])) }, 127},
	"i2": {"int16", 2, func(b []byte, o binary.ByteOrder) float64 { return float64(int16(o.Uint16(b))) }, 255},
	"i4": {"int32", 4, func(b []byte, o binary.ByteOrder) float64 { return float64(int32(o.Uint32(b))) }, 255},
	"i8": {"int64", 8, func(b []byte, o binary.ByteOrder) float64 { return float64(int64(o.Uint64(b))) }, 255},
	"u1": {"uint8", 1, func(b []byte, _ binary.ByteOrder) float64 { return float64(b[0]) }, 255},
	"u2": {"uint16", 2, func(b []byte, o binary.ByteOrder) float64 { return float64(o.Uint16(b)) }, 65535},
	"u4": {"uint32", 4, func(b []byte, o binary.ByteOrder) float64 { return float64(o.Uint32(b)) }, 255},
	"u8": {"uint64", 8, func(b []byte, o binary.ByteOrder) float64 { return float64(o.Uint64(b)) }, 255},
	"b1": {"bool", 1, func(b []byte, _ binary.ByteOrder) float64 { return float64(min(b[0], 1)) }, 1},
}

// parseType splits a header's type such as "<f4" or "|u1" into the type and its byte order; ok tells whether it can be read.
func parseType(code string) (d dtype, o binary.ByteOrder, ok bool) {
	if len(code) != 3 {
		return d, nil, false
	}
	d, ok = known[code[1:]]
	switch {
	case code[0] == '>':
		o = binary.BigEndian
	case code[0] == '<' || code[0] == '|' && d.width == 1: // one byte has no order
		o = binary.LittleEndian
	default:
		ok = false
	}
	return d, o, ok
}

// foreign says in words what a type holds that cannot be read.
func foreign(code string) string {
	kind := strings.TrimLeft(code, "<>|=")
	if kind == "" {
		return ""
	}
	return map[byte]string{'O': " (Python objects)", 'U': " (texts)", 'S': " (texts)", 'c': " (complex numbers)", 'M': " (dates)",
		'm': " (times)", 'V': " (raw bytes, or bfloat16)"}[kind[0]]
}
