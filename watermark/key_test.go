package watermark

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
)

func binaryOf(v any) []byte {
	out, err := binary.Append(nil, binary.LittleEndian, v)
	if err != nil {
		panic(err)
	}
	return out
}

// TestNewKey: same secret, same bytes, of this version for ever; another secret, owner or option, another key.
func TestNewKey(t *testing.T) {
	o := KeyOptions{Shape: []int{14, 14, 1}, Target: 3, Bits: 40, Carriers: 100}
	k, err := NewKey([]byte("secret"), "Acme Ltd", o)
	require.NoError(t, err)
	sum := sha256.Sum256(k.canonical())
	require.Equal(t, goldenHash, hex.EncodeToString(sum[:8]), "keys of earlier versions must be made again")
	again, err := NewKey([]byte("secret"), "Acme Ltd", o)
	require.NoError(t, err)
	require.Equal(t, k, again)
	bits := sha256.Sum256([]byte("Acme Ltd|0"))
	require.Equal(t, bits[0]>>7 == 1, k.Signature[0])
	require.Equal(t, bits[4]&1 == 1, k.Signature[39])

	require.Len(t, k.Carriers, 100)
	require.True(t, slices.IsSorted(k.Carriers))
	require.Len(t, slices.Compact(slices.Clone(k.Carriers)), 100)
	sum1, sum2 := 0.0, 0.0
	for _, row := range k.Matrix {
		for _, v := range row {
			require.True(t, v > -1 && v < 1 && v != 0)
			sum1, sum2 = sum1+v, sum2+v*v
		}
	}
	require.InDelta(t, 0, sum1/4000, 4/math.Sqrt(3*4000))
	require.InDelta(t, 1.0/3, sum2/4000, 0.02)
	for _, change := range []func() (*Key, error){
		func() (*Key, error) { return NewKey([]byte("Secret"), "Acme Ltd", o) },
		func() (*Key, error) { p := o; p.Target = 4; return NewKey([]byte("secret"), "Acme Ltd", p) },
		func() (*Key, error) { p := o; p.Shape = []int{14, 14}; return NewKey([]byte("secret"), "Acme Ltd", p) },
	} {
		other, err := change()
		require.NoError(t, err)
		require.NotEqual(t, k.Matrix[0], other.Matrix[0])
		require.Equal(t, k.Signature, other.Signature)
	}
	owner, err := NewKey([]byte("secret"), "Thief", o)
	require.NoError(t, err)
	require.Equal(t, k.Matrix, owner.Matrix)
	require.NotEqual(t, k.Signature, owner.Signature)
	zero, err := NewKey([]byte("s"), "", KeyOptions{Shape: []int{28, 28, 1}})
	require.NoError(t, err)
	require.Equal(t, []int{64, 392}, []int{len(zero.Signature), len(zero.Carriers)})
	long, err := NewKey([]byte("s"), "", KeyOptions{Shape: []int{784}, Bits: 600})
	require.NoError(t, err)
	require.Len(t, long.Signature, 600)
}

// goldenHash is of the key above.
const goldenHash = "680769ab62bbcb56"

// Carriers are drawn uniformly: every coordinate as often as any other.
func TestCarriersAreUniform(t *testing.T) {
	counts := make([]float64, 10)
	for i := range 2000 {
		k, err := NewKey([]byte{byte(i), byte(i >> 8)}, "", KeyOptions{Shape: []int{10}, Bits: 1, Carriers: 3})
		require.NoError(t, err)
		for _, c := range k.Carriers {
			counts[c]++
		}
	}
	for _, n := range counts {
		require.InDelta(t, 600, n, 4*math.Sqrt(2000*0.3*0.7))
	}
}

func TestKeysRefused(t *testing.T) {
	for _, c := range []struct {
		o    KeyOptions
		want string
	}{
		{KeyOptions{Shape: []int{28, 28, 1}, Carriers: 800}, "keygen: 800 carriers exceed 784 inputs"},
		{KeyOptions{Shape: []int{28, 28, 1}, Carriers: 128, Bits: 512}, "keygen: 512 bits on 128 carriers: attainable with probability 2e-31"},
		{KeyOptions{Shape: []int{28, 28, 1}, Carriers: -1}, "keygen: -1 carriers: want at least 1"},
		{KeyOptions{Shape: []int{28, 28, 1}, Bits: -1}, "keygen: -1 bits: want at least 1"},
		{KeyOptions{Shape: []int{28, 28, 1}, Target: -1}, "keygen: target -1"},
		{KeyOptions{Shape: []int{28, 0, 1}}, "keygen: shape [28 0 1]"},
		{KeyOptions{Shape: []int{1 << 20, 1 << 20, 1 << 40}}, "keygen: shape"},
		{KeyOptions{}, "keygen: no shape"},
	} {
		_, err := NewKey([]byte("s"), "", c.o)
		require.ErrorContains(t, err, c.want)
	}
	_, err := NewKey(nil, "", KeyOptions{Shape: []int{4}})
	require.ErrorContains(t, err, "keygen: the secret is empty")

	good := func() Key {
		return Key{Shape: []int{2, 2}, Target: 1, Carriers: []int{3, 0}, Matrix: [][]float64{{1, 2}, {3, 4}}, Signature: []bool{true, false}}
	}
	k := good()
	copied, err := KeyFromArrays(k)
	require.NoError(t, err)
	k.Matrix[0][0] = 7
	require.Equal(t, 1.0, copied.Matrix[0][0])
	require.Equal(t, []string{"2 bits cannot give p < 1e-09"}, copied.Notes())
	for want, spoil := range map[string]func(k *Key){
		"key: carrier at position 0 is no coordinate of an input of 4 values": func(k *Key) { k.Carriers[0] = 4 },
		"key: carrier at position 1 was there before":                         func(k *Key) { k.Carriers[1] = 3 },
		"key: row 1 of the matrix has 1 values for 2 carriers":                func(k *Key) { k.Matrix[1] = k.Matrix[1][:1] },
		"key: value 1 in row 0 of the matrix is not finite":                   func(k *Key) { k.Matrix[0][1] = math.NaN() },
		"key: row 1 of the matrix is all zeros":                               func(k *Key) { k.Matrix[1] = []float64{0, 0} },
		"key: 1 bits in the signature, 2 rows in the matrix":                  func(k *Key) { k.Signature = k.Signature[:1] },
		"key: 0 bits": func(k *Key) { k.Matrix, k.Signature = nil, nil },
	} {
		k := good()
		spoil(&k)
		_, err := KeyFromArrays(k)
		require.ErrorContains(t, err, want)
	}
}

// TestKeyFile: what was written is read; any byte altered is refused, as is a file that others may read.
func TestKeyFile(t *testing.T) {
	k := goldenKey(t)
	k.Owner = "Ä. Müller"
	path := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o644))
	require.NoError(t, k.Write(path))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	got, err := ReadKey(path)
	require.NoError(t, err)
	require.Equal(t, k, got)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	for i := range data {
		altered := bytes.Clone(data)
		altered[i] ^= 1 << (i % 8)
		_, err := parseKey(altered)
		require.Error(t, err, i)
	}
	for i := range data {
		_, err := parseKey(data[:i])
		require.Error(t, err, i)
	}
	require.NoError(t, os.Chmod(path, 0o644))
	_, err = ReadKey(path)
	require.EqualError(t, err, "key: mode 0644; run chmod 600 "+path)
	_, err = ReadKey(path + ".none")
	require.ErrorContains(t, err, "no such file")
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

// FuzzKey: no bytes crash the parser, or make it take much memory, and what it accepts is written the same.
func FuzzKey(f *testing.F) {
	k := &Key{Owner: "o", Shape: []int{4}, Carriers: []int{0, 2}, Matrix: [][]float64{{1, -0.5}}, Signature: []bool{true}}
	f.Add(k.canonical())
	f.Add([]byte{})
	f.Add(appendInts(appendText(appendText(nil, keyVersion), ""), []int{math.MaxInt32, math.MaxInt32}))
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := sha256.Sum256(body)
		k, err := parseKey(append(append([]byte(keyMagic), sum[:]...), body...))
		if err == nil {
			require.Equal(t, body, k.canonical())
		}
		_, _ = parseKey(body)
	})
}

// TestCommitment: it fixes the key and shows nothing of it; its public part has no nonce.
func TestCommitment(t *testing.T) {
	k, m := goldenKey(t), goldenModel[float32](t)
	c, err := NewCommitment(k, m)
	require.NoError(t, err)
	require.NoError(t, c.Check(k))
	require.NoError(t, c.CheckWeights(m))
	nonce, err := hex.DecodeString(c.Nonce)
	require.NoError(t, err)
	want := sha256.Sum256(append(k.canonical(), nonce...))
	require.Equal(t, hex.EncodeToString(want[:]), c.Hash)
	other := goldenKey(t)
	other.Signature[2] = !other.Signature[2]
	require.ErrorContains(t, c.Check(other), "made for another key")
	two, err := NewCommitment(k, nil)
	require.NoError(t, err)
	require.NotEqual(t, two.Hash, c.Hash)
	require.ErrorContains(t, two.CheckWeights(m), "names no weights")
	require.ErrorContains(t, c.Public().Check(k), "without its nonce")
	w := m.Weights()[0]
	value, err := w.Value()
	require.NoError(t, err)
	value, err = value.LocalClone()
	require.NoError(t, err)
	value.MutableBytes(func(b []byte) { b[0] ^= 1 })
	require.NoError(t, w.SetValue(value))
	require.ErrorContains(t, c.CheckWeights(m), "made for other weights")

	path := filepath.Join(t.TempDir(), "c")
	require.NoError(t, c.Write(path))
	got, err := ReadCommitment(path)
	require.NoError(t, err)
	require.Equal(t, c, got)
	data, err := json.Marshal(c.Public())
	require.NoError(t, err)
	require.NotContains(t, string(data), "nonce")
	require.NoError(t, os.WriteFile(path, []byte(`{"hash":""}`), 0o600))
	_, err = ReadCommitment(path)
	require.ErrorContains(t, err, "no file that commit wrote")
}

// A key that reads any network's bits and calls them its signature has no errors, and the verdict says that this proves nothing;
// a committed key of the same p-value is registered.
func TestForgery(t *testing.T) {
	n, e, ctx := networks(t), testengine.Training(t), context.Background()
	forged := smallKey(t, "thief")
	v, err := InputGradient(ctx, e, n.plain, target, n.targets)
	require.NoError(t, err)
	for j, bit := range forged.Read(v).Bits {
		forged.Signature[j] = bit == 1
	}
	got, err := Verifier{Step: 0.02, Samples: 100}.Verify(ctx, endpoint(t, n.plain), forged, n.targets)
	require.NoError(t, err)
	require.Less(t, got.PValue, Level)
	require.False(t, got.Registered)
	require.Equal(t, "unregistered: p is not evidence", got.Commitment)

	c, err := NewCommitment(n.key, nil)
	require.NoError(t, err)
	got, err = Verifier{Commitment: c}.Verify(ctx, endpoint(t, n.marked), n.key, n.targets)
	require.NoError(t, err)
	require.True(t, got.Registered)
	require.Equal(t, c.Hash, got.Commitment)
	got, err = Verifier{Commitment: c, Level: Strict}.Verify(ctx, endpoint(t, n.marked), n.key, n.targets)
	require.NoError(t, err)
	require.Equal(t, NotShown, got.Result, "64 bits never suffice without a time-stamp")
}
