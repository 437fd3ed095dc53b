package engine

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestExecutablesAreDestroyedOnce plays random users of two clients: nobody gets an executable that was destroyed, or another
// program's; each is destroyed once, after its last user or with its client, and no more than the limit lie idle.
func TestExecutablesAreDestroyedOnce(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		s := newExecutables()
		var clients [2]byte
		held := map[unsafe.Pointer][]programKey{} // by executable: one entry a user
		destroyed, programs := map[unsafe.Pointer]bool{}, map[unsafe.Pointer]programKey{}
		destroy := func(loaded unsafe.Pointer) {
			require.False(t, destroyed[loaded], "destroyed twice")
			require.Empty(t, held[loaded], "destroyed while in use")
			destroyed[loaded] = true
		}
		give := func() {
			for loaded, users := range held {
				if held[loaded] = users[1:]; len(users) == 1 {
					delete(held, loaded)
				}
				if unused := s.give(loaded); unused != nil {
					destroy(unused)
				}
				return
			}
		}
		for range 4000 {
			client := unsafe.Pointer(&clients[rng.IntN(2)])
			switch key := keyOf(client, []byte{byte(rng.IntN(200))}); {
			case rng.IntN(500) == 0:
				for _, unused := range s.leave(client) {
					destroy(unused)
				}
			case rng.IntN(2) == 0:
				give()
			default:
				loaded := s.take(key)
				if loaded == nil {
					loaded = unsafe.Pointer(new([8]byte))
					programs[loaded] = key
					s.add(key, loaded, false)
					if rng.IntN(10) == 0 { // compiled by two at once
						own := unsafe.Pointer(new([8]byte))
						s.add(key, own, true)
						require.Equal(t, own, s.give(own))
					}
				}
				require.False(t, destroyed[loaded])
				require.Equal(t, key, programs[loaded])
				held[loaded] = append(held[loaded], key)
			}
			require.LessOrEqual(t, len(s.idle), idleLimit)
		}
		for len(held) > 0 {
			give()
		}
		for i := range clients {
			for _, unused := range s.leave(unsafe.Pointer(&clients[i])) {
				destroy(unused)
			}
		}
		require.Len(t, destroyed, len(programs), "none is left")
		require.Empty(t, s.known)
		require.Empty(t, s.by)
		require.Empty(t, s.idle)
		require.Positive(t, s.found)
	}
}

// The one that was idle for longest goes first.
func TestIdleExecutablesGoInTurn(t *testing.T) {
	s := newExecutables()
	loaded := make([]byte, idleLimit+2)
	for i := range loaded {
		s.add(keyOf(nil, []byte{byte(i)}), unsafe.Pointer(&loaded[i]), false)
	}
	for i := range idleLimit {
		require.Nil(t, s.give(unsafe.Pointer(&loaded[i])))
	}
	require.Equal(t, unsafe.Pointer(&loaded[0]), s.take(keyOf(nil, []byte{0})), "in use again")
	require.Nil(t, s.give(unsafe.Pointer(&loaded[idleLimit])))
	require.Equal(t, unsafe.Pointer(&loaded[1]), s.give(unsafe.Pointer(&loaded[idleLimit+1])))
}

func TestProgramKey(t *testing.T) {
	assert.Equal(t, keyOf(nil, []byte("a"), []byte("b")), keyOf(nil, []byte("a"), []byte("b")))
	assert.NotEqual(t, keyOf(nil, []byte("ab")), keyOf(nil, []byte("a"), []byte("b")))
	assert.NotEqual(t, keyOf(nil, []byte("a")), keyOf(unsafe.Pointer(t), []byte("a")))
	assert.Equal(t, nameless([]byte("module @a {\n x")), nameless([]byte("module @b_2 {\n x")))
	assert.NotEqual(t, nameless([]byte("module @a {\n x")), nameless([]byte("module @a {\n y")))
	assert.NotEqual(t, nameless([]byte("module @a {\n x")), nameless([]byte("module @a attributes {n = 1} {\n x")))
	assert.Equal(t, "other", string(nameless([]byte("other"))))
}
