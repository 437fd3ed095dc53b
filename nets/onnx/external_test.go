package onnx_test

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/nets/onnx"
)

// linksFolder makes a folder of what a list names: NAME=model:LOCATION is the network of linear with its weights in LOCATION,
// NAME=good and NAME=foreign are weights of ones and of sevens, NAME->TARGET is a link.
func linksFolder(t *testing.T, list string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, item := range strings.Fields(list) {
		name, target, link := strings.Cut(item, "->")
		name, what, _ := strings.Cut(name, "=")
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		switch {
		case link:
			require.NoError(t, os.Symlink(target, path))
		case what == "good":
			require.NoError(t, os.WriteFile(path, weightsOf(1), 0o600))
		case what == "foreign":
			require.NoError(t, os.WriteFile(path, weightsOf(7), 0o600))
		default:
			p := linear()
			external(strings.TrimPrefix(what, "model:"), "0", "48")(p)
			data, err := proto.Marshal(p)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, data, 0o600))
		}
	}
	return dir
}

func weightsOf(v float32) (raw []byte) {
	for range 12 {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return raw
}

// requireOnes checks that the network has the good weights.
func requireOnes(t *testing.T, m *nets.Model) {
	t.Helper()
	for _, w := range tensors.MustCopyFlatData[float32](m.Store.GetVariable(m.WeightPaths[0]).MustValue()) {
		require.EqualValues(t, 1, w)
	}
}

// TestLinks: the weights' real path lies in the model's folder, or in the folder of the model's real path; nothing else is read.
func TestLinks(t *testing.T) {
	const hub = "blobs/aaa=model:w blobs/bbb=good s/abc/m.onnx->../../blobs/aaa s/abc/w->../../blobs/bbb "
	const outside, missing = "outside the model's folder: refused", "keep the file beside the model"
	for name, c := range map[string]struct{ files, model, refuse string }{
		"plain":                         {"m.onnx=model:w w=good", "m.onnx", ""},
		"nested":                        {"m.onnx=model:sub/w sub/w=good", "m.onnx", ""},
		"Hub":                           {hub, "s/abc/m.onnx", ""},
		"Hub through a link":            {hub + "here->s/abc", "here/m.onnx", ""},
		"Hub in a folder":               {"b/a=model:w b/b=good s/r/o/m.onnx->../../../b/a s/r/o/w->../../../b/b", "s/r/o/m.onnx", ""},
		"Hub with weights in a folder":  {"b/a=model:sub/w b/b=good s/r/m.onnx->../../b/a s/r/sub/w->../../../b/b", "s/r/m.onnx", ""},
		"folder is a link":              {"far/m.onnx=model:w far/w=good near->far", "near/m.onnx", ""},
		"link within":                   {"m.onnx=model:w w->sub/v1 sub/v1=good", "m.onnx", ""},
		"link to a link":                {"d/m.onnx=model:w d/w->../there there->d/v1 d/v1=good", "d/m.onnx", ""},
		"folder within is a link":       {"m.onnx=model:sub/w sub->v1 v1/w=good", "m.onnx", ""},
		"dots behind a link":            {"d/m.onnx=model:sub/../w d/sub->../far/in far/in/x=foreign far/w=foreign d/w=good", "d/m.onnx", ""},
		"model and weights are links":   {"m.onnx->far/m.onnx far/m.onnx=model:w w->far/w far/w=good", "m.onnx", ""},
		"out":                           {"d/m.onnx=model:w d/w->../far far=foreign", "d/m.onnx", outside},
		"out by a folder":               {"d/m.onnx=model:sub/w d/sub->../far far/w=foreign", "d/m.onnx", outside},
		"to a name that begins alike":   {"d/m.onnx=model:w d/w->../data/w data/w=foreign", "d/m.onnx", outside},
		"only the weights are a link":   {"s/m.onnx=model:w s/w->../blobs/b blobs/b=foreign", "s/m.onnx", outside},
		"links to two places":           {"s/m.onnx->../blobs/a blobs/a=model:w s/w->../else/b else/b=foreign", "s/m.onnx", outside},
		"above the model's real folder": {"s/m.onnx->../blobs/sub/a blobs/sub/a=model:w s/w->../blobs/b blobs/b=foreign", "s/m.onnx", outside},
		"dots that climb":               {"d/m.onnx=model:sub/../../far d/sub/x=good far=foreign", "d/m.onnx", outside},
		"link to nothing":               {"m.onnx=model:w w->none", "m.onnx", missing},
		"ring of links":                 {"m.onnx=model:w w->v v->w", "m.onnx", missing},
		"beside the real model only":    {"m.onnx->far/m.onnx far/m.onnx=model:w far/w=good", "m.onnx", missing},
		"a folder":                      {"m.onnx=model:w w/x=good", "m.onnx", "not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := linksFolder(t, c.files)
			t.Chdir(dir)
			for _, path := range []string{c.model, filepath.Join(dir, c.model)} {
				m, err := onnx.Load(path, onnx.Options{})
				if c.refuse == "" {
					require.NoError(t, err)
					requireOnes(t, m)
					continue
				}
				require.ErrorContains(t, err, "external data")
				require.ErrorContains(t, err, c.refuse)
				require.NotContains(t, err.Error(), "\n")
			}
		})
	}
}

// TestPipe: a pipe in place of weights is refused at once, though nobody writes into it.
func TestPipe(t *testing.T) {
	dir := linksFolder(t, "m.onnx=model:w")
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "w"), 0o600))
	done := make(chan error, 1)
	go func() {
		_, err := onnx.Load(filepath.Join(dir, "m.onnx"), onnx.Options{})
		done <- err
	}()
	select {
	case err := <-done:
		require.ErrorContains(t, err, "not a regular file")
	case <-time.After(20 * time.Second):
		t.Fatal("waits for somebody to write")
	}
}
