package report

import (
	"bytes"
	"encoding/gob"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/protocol"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func captured(t *testing.T, f func()) string {
	var b bytes.Buffer
	before := Output
	Output = &b
	defer func() { Output = before }()
	f()
	return b.String()
}

func TestShowPrints(t *testing.T) {
	text := captured(t, func() {
		require.NoError(t, Show(sampleTable()))
		require.NoError(t, Show([]*Figure{sampleLines()}))
		require.NoError(t, Show(sampleGrid()))
		require.NoError(t, Show(sampleClaims()))
		require.NoError(t, Show(Textf("%d words", 2)))
	})
	assert.Contains(t, text, sampleTable().Text())
	assert.Contains(t, text, "Figure (1120x691 pixels): Accuracy falls with the input budget.")
	assert.Contains(t, text, "Images (")
	assert.Contains(t, text, "🔴 contradicted")
	assert.Contains(t, text, "2 words\n")
	for _, bad := range []any{nil, 3, (*Table)(nil), (*Figure)(nil), (*Grid)(nil), &Table{}, &Figure{}} {
		assert.Error(t, Show(bad))
	}
}

// In a notebook a table arrives as one bundle of three forms, a picture as PNG with a line of text. Show waits for a slow
// kernel: one that is still reading when the cell's program ends drops the rest.
func TestShowSendsBundles(t *testing.T) {
	dir := t.TempDir()
	to, from := filepath.Join(dir, "to"), filepath.Join(dir, "from")
	require.NoError(t, syscall.Mkfifo(to, 0o600))
	require.NoError(t, syscall.Mkfifo(from, 0o600))
	t.Setenv(protocol.GONB_PIPE_ENV, to)
	t.Setenv(protocol.GONB_PIPE_BACK_ENV, from)
	gonbui.IsNotebook = true
	defer func() { gonbui.IsNotebook = false }()
	k := &kernel{}
	go k.serve(t, to, from)
	text := captured(t, func() {
		require.NoError(t, Show(sampleTable()))
		require.Len(t, k.taken(), 1)
		require.NoError(t, Show(sampleGrid()))
	})
	assert.Empty(t, text)
	bundles := k.taken()
	require.Len(t, bundles, 3)
	assert.Equal(t, sampleTable().HTML(), bundles[0].Data[protocol.MIMETextHTML])
	assert.Equal(t, sampleTable().Markdown(), bundles[0].Data[protocol.MIMETextMarkdown])
	assert.Equal(t, sampleTable().Text(), bundles[0].Data[protocol.MIMETextPlain])
	picture, ok := bundles[1].Data[protocol.MIMEImagePNG].([]byte)
	require.True(t, ok)
	assert.True(t, bytes.HasPrefix(picture, []byte("\x89PNG")))
	assert.True(t, strings.HasPrefix(bundles[1].Data[protocol.MIMETextPlain].(string), "Images ("))
	assert.Contains(t, bundles[2].Data[protocol.MIMETextMarkdown], "largest change")
}

// kernel takes bundles as GoNB does, slowly.
type kernel struct {
	mutex   sync.Mutex
	bundles []protocol.DisplayData
}

func (k *kernel) taken() []protocol.DisplayData {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	return slices.Clone(k.bundles)
}

func (k *kernel) serve(t *testing.T, to, from string) {
	in, err := os.Open(to)
	if !assert.NoError(t, err) {
		return
	}
	defer in.Close()
	back, err := os.OpenFile(from, os.O_WRONLY, 0)
	if !assert.NoError(t, err) {
		return
	}
	defer back.Close()
	d, e := gob.NewDecoder(in), gob.NewEncoder(back)
	for {
		var b protocol.DisplayData
		if d.Decode(&b) != nil {
			return
		}
		if sync, ok := b.Data[protocol.MIMECommValue].(protocol.CommValue); ok {
			assert.NoError(t, e.Encode(&protocol.CommValue{Address: protocol.GonbuiSyncAckAddress, Value: sync.Value}))
			continue
		}
		time.Sleep(50 * time.Millisecond)
		k.mutex.Lock()
		k.bundles = append(k.bundles, b)
		k.mutex.Unlock()
	}
}
