package report

import (
	"bytes"
	"encoding/gob"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	assert.Contains(t, text, "🔴 not replicated")
	assert.Contains(t, text, "2 words\n")
	for _, bad := range []any{nil, 3, (*Table)(nil), (*Figure)(nil), (*Grid)(nil), &Table{}, &Figure{}} {
		assert.Error(t, Show(bad))
	}
}

// In a notebook a table arrives as one bundle of three forms, a picture as PNG with a line of text.
func TestShowSendsBundles(t *testing.T) {
	dir := t.TempDir()
	to, from := filepath.Join(dir, "to"), filepath.Join(dir, "from")
	require.NoError(t, os.WriteFile(to, nil, 0o600))
	require.NoError(t, os.WriteFile(from, nil, 0o600))
	t.Setenv(protocol.GONB_PIPE_ENV, to)
	t.Setenv(protocol.GONB_PIPE_BACK_ENV, from)
	gonbui.IsNotebook = true
	defer func() { gonbui.IsNotebook = false }()
	text := captured(t, func() {
		require.NoError(t, Show(sampleTable()))
		require.NoError(t, Show(sampleGrid()))
	})
	assert.Empty(t, text)
	data, err := os.ReadFile(to)
	require.NoError(t, err)
	d := gob.NewDecoder(bytes.NewReader(data))
	var bundles []protocol.DisplayData
	for {
		var b protocol.DisplayData
		if d.Decode(&b) != nil {
			break
		}
		bundles = append(bundles, b)
	}
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
