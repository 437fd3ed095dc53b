package datasets

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/report"
)

// payload is a file to serve, and its checksum.
func payload(n int) ([]byte, string) {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i * i >> 3)
	}
	sum := md5.Sum(data)
	return data, hex.EncodeToString(sum[:])
}

// counter is a Progress that adds up.
type counter struct{ begun, done, total int }

func (c *counter) Begin(_ string, done, total int) { c.begun++; c.done, c.total = done, total }
func (c *counter) Advance(n int)                   { c.done += n }
func (c *counter) End()                            {}

// serve answers ranges as a web server does.
func serve(t *testing.T, data []byte, ranges *[]string) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*ranges = append(*ranges, r.Header.Get("Range"))
		http.ServeContent(w, r, "f", time.Time{}, bytes.NewReader(data))
	}))
	t.Cleanup(s.Close)
	return s
}

func TestFetchWhole(t *testing.T) {
	data, sum := payload(1 << 20)
	for _, size := range []int64{0, int64(len(data))} {
		var ranges []string
		s := serve(t, data, &ranges)
		dir, c := t.TempDir(), &counter{}
		r := remote{name: "f", md5: sum, size: size, urls: []string{s.URL}}
		require.NoError(t, r.fetch(context.Background(), dir, c))
		got, err := os.ReadFile(filepath.Join(dir, "f"))
		require.NoError(t, err)
		assert.Equal(t, data, got)
		assert.NoFileExists(t, filepath.Join(dir, "f.part"))
		assert.Equal(t, counter{begun: 1, done: len(data), total: len(data)}, *c)
		// A second call asks for nothing.
		require.NoError(t, r.fetch(context.Background(), dir, c))
		assert.Equal(t, []string{""}, ranges)
	}
}

func TestFetchResumes(t *testing.T) {
	data, sum := payload(1 << 20)
	const have = 300_000
	for _, size := range []int64{0, int64(len(data))} {
		var ranges []string
		s := serve(t, data, &ranges)
		dir, c := t.TempDir(), &counter{}
		require.NoError(t, os.WriteFile(filepath.Join(dir, "f.part"), data[:have], 0o600))
		r := remote{name: "f", md5: sum, size: size, urls: []string{s.URL}}
		require.NoError(t, r.fetch(context.Background(), dir, c))
		assert.Equal(t, []string{"bytes=300000-"}, ranges)
		assert.Equal(t, len(data), c.done)
		got, _ := os.ReadFile(filepath.Join(dir, "f"))
		assert.Equal(t, data, got)
	}
}

// A part of something else, shorter or longer than the file, is found out by the checksum and loaded anew.
func TestFetchDiscardsForeignPart(t *testing.T) {
	data, sum := payload(100_000)
	for _, size := range []int64{0, int64(len(data))} {
		for _, n := range []int{1, 5_000, 100_000, 200_000} {
			var ranges []string
			s := serve(t, data, &ranges)
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "f.part"), bytes.Repeat([]byte("x"), n), 0o600))
			r := remote{name: "f", md5: sum, size: size, urls: []string{s.URL}}
			require.NoError(t, r.fetch(context.Background(), dir, report.Silent{}), "size %d, part of %d", size, n)
			got, _ := os.ReadFile(filepath.Join(dir, "f"))
			assert.Equal(t, data, got)
		}
	}
}

// A server that ignores ranges, one that breaks off again and again, one that is not there.
func TestFetchBadServers(t *testing.T) {
	data, sum := payload(1 << 20)
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) }))
	defer plain.Close()
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var from int
		if h := r.Header.Get("Range"); h != "" {
			_, _ = fmt.Sscanf(h, "bytes=%d-", &from)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)))
			w.Header().Set("Content-Length", fmt.Sprint(len(data)-from))
			w.WriteHeader(http.StatusPartialContent)
		} else {
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		}
		to := min(from+200_000, len(data))
		_, _ = w.Write(data[from:to]) // less than promised: the connection breaks
	}))
	defer broken.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	defer gone.Close()
	for _, urls := range [][]string{{plain.URL}, {broken.URL}, {gone.URL, plain.URL}, {"http://127.0.0.1:1/f", broken.URL}} {
		for _, part := range []int{0, 1000} {
			dir := t.TempDir()
			if part > 0 {
				require.NoError(t, os.WriteFile(filepath.Join(dir, "f.part"), data[:part], 0o600))
			}
			r := remote{name: "f", md5: sum, size: int64(len(data)), urls: urls}
			require.NoError(t, r.fetch(context.Background(), dir, report.Silent{}), "%v, part of %d", urls, part)
			got, _ := os.ReadFile(filepath.Join(dir, "f"))
			assert.Equal(t, data, got)
		}
	}
	dir := t.TempDir()
	err := remote{name: "f", md5: sum, urls: []string{gone.URL}}.fetch(context.Background(), dir, report.Silent{})
	assert.ErrorContains(t, err, "404")
	assert.ErrorContains(t, err, "--data-dir")
	assert.NotContains(t, err.Error(), "\n")
}

// Wrong contents never get the file's name, and too many bytes are not even kept.
func TestFetchWrongContents(t *testing.T) {
	data, _ := payload(100_000)
	var ranges []string
	s := serve(t, data, &ranges)
	for _, size := range []int64{0, 100_000} {
		dir := t.TempDir()
		r := remote{name: "f", md5: strings.Repeat("0", 32), size: size, urls: []string{s.URL}}
		err := r.fetch(context.Background(), dir, report.Silent{})
		assert.ErrorContains(t, err, "MD5")
		files, _ := os.ReadDir(dir)
		assert.Empty(t, files)
	}
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(data); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	dir := t.TempDir()
	r := remote{name: "f", md5: strings.Repeat("0", 32), size: 1000, urls: []string{endless.URL}}
	err := r.fetch(context.Background(), dir, report.Silent{})
	assert.ErrorContains(t, err, "more than 1000 bytes")
	assert.NoFileExists(t, filepath.Join(dir, "f"))
}

func TestFetchCanceled(t *testing.T) {
	data, sum := payload(1 << 20)
	ctx, cancel := context.WithCancel(context.Background())
	var slow atomic.Bool
	slow.Store(true)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slow.Load() {
			http.ServeContent(w, r, "f", time.Time{}, bytes.NewReader(data))
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = w.Write(data[:100_000])
		w.(http.Flusher).Flush()
		time.AfterFunc(50*time.Millisecond, cancel)
		<-r.Context().Done()
	}))
	defer s.Close()
	dir := t.TempDir()
	r := remote{name: "f", md5: sum, size: int64(len(data)), urls: []string{s.URL}}
	err := r.fetch(ctx, dir, report.Silent{})
	require.True(t, errors.Is(err, context.Canceled), "%v", err)
	assert.NoFileExists(t, filepath.Join(dir, "f"))
	info, err := os.Stat(filepath.Join(dir, "f.part"))
	require.NoError(t, err)
	assert.EqualValues(t, 100_000, info.Size())
	slow.Store(false)
	require.NoError(t, r.fetch(context.Background(), dir, report.Silent{}))
}
