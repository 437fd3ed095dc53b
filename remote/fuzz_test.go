package remote

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever a log holds, what is read of it is a row of sound records, which encode to the same bytes again.
func FuzzLog(f *testing.F) {
	log := []byte(magic)
	for i := range 3 {
		log = appendRecord(log, key{byte(i)}, answer{label: i == 1, words: make([]uint32, 1)})
	}
	log = appendRecord(log, key{9}, answer{words: []uint32{1, 2, math.MaxUint32}})
	f.Add(log)
	f.Add(log[:len(log)-3])
	f.Add([]byte(magic[:4]))
	f.Add([]byte("something else"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var keys []key
		var begins []int64
		sound, err := scan(bytes.NewReader(data), func(k key, at int64) { keys, begins = append(keys, k), append(begins, at) })
		if err != nil {
			require.ErrorIs(t, err, errNoLog)
			require.Zero(t, sound)
			return
		}
		require.LessOrEqual(t, sound, int64(len(data)))
		if sound == 0 {
			require.Less(t, len(data), len(magic))
			return
		}
		again := []byte(magic)
		for i, at := range begins {
			require.EqualValues(t, len(again), at)
			k, a, _, err := readRecord(bytes.NewReader(data[at:]))
			require.NoError(t, err)
			require.Equal(t, keys[i], k)
			again = appendRecord(again, k, a)
		}
		require.Equal(t, data[:sound], again)
	})
}

// The reader of numbers agrees with encoding/json wherever that reads lists of numbers, and never panics.
func FuzzNumbers(f *testing.F) {
	for _, text := range []string{"[1,2.5,-3e-2]", "[[1,2],[3,4]]", "[ ]", "[[],[]]", "[[[1]],[[2]]]", "[true,null]", `["a"]`, "3",
		"[1,[2]]", "[1e999]"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) {
			return // the whole answer was read as JSON before
		}
		values, outer, err := numbers(data)
		var list []any
		if json.Unmarshal(data, &list) != nil {
			if len(bytes.TrimSpace(data)) > 0 && bytes.TrimSpace(data)[0] != '[' {
				require.Error(t, err)
			}
			return
		}
		if err != nil {
			return
		}
		require.Len(t, list, outer)
		var want []float64
		var flatten func(v any)
		flatten = func(v any) {
			switch v := v.(type) {
			case []any:
				for _, w := range v {
					flatten(w)
				}
			case float64:
				want = append(want, v)
			case bool:
				if want = append(want, 0); v {
					want[len(want)-1] = 1
				}
			default:
				t.Fatalf("%T was read as a number", v)
			}
		}
		flatten(list)
		require.Equal(t, want, values)
	})
}

// Whatever a server answers, it is read or refused.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"outputs":[{"name":"y","datatype":"FP32","shape":[2,2],"data":[1,2,3,4]}]}`))
	f.Add([]byte(`{"outputs":[{"name":"y","datatype":"INT64","shape":[2],"data":[1,0]}]}`))
	f.Add([]byte(`{"outputs":[{"shape":[0],"data":[]}]}`))
	f.Add([]byte(`{"outputs":[{"shape":[4611686018427387904,4],"data":[]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &Client{cfg: Config{Model: "m"}}
		found, err := c.decode(data, 2)
		if err != nil {
			return
		}
		logits, classes := c.decided(found)
		require.Len(t, classes, 2)
		if c.kind != Labels {
			require.Len(t, logits, 2*c.classes)
		}
		for _, z := range logits {
			require.False(t, math.IsNaN(float64(z)) || math.IsInf(float64(z), 0))
		}
	})
}
