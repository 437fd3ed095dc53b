package remote

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/pkg/errors"
)

const (
	longestBackoff = 30 * time.Second
	longestWait    = 5 * time.Minute // that a server may ask for
	longestAnswer  = 1 << 28         // bytes
)

// failure is a request that gave no answer.
type failure struct {
	error
	again   bool          // another try may help
	refused bool          // the server cannot have answered
	wait    time.Duration // what the server asks to wait at least
	status  int           // of HTTP; 0 if it did not come to one
}

// Unwrap returns what went wrong.
func (f *failure) Unwrap() error { return f.error }

// do makes one request. It is not cut off when ctx is done, but only after Timeout: what is under way is paid for.
func (c *Client) do(ctx context.Context, method, path string, body []byte) ([]byte, *failure) {
	if err := ctx.Err(); err != nil {
		return nil, &failure{error: err, refused: true}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.cfg.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, c.base.String()+path, bytes.NewReader(body))
	if err != nil {
		return nil, &failure{error: err, refused: true}
	}
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.authorization != "" {
		r.Header.Set("Authorization", c.authorization)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return nil, c.broken(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, longestAnswer+1))
	switch {
	case response.StatusCode != http.StatusOK:
		return nil, c.refusal(response, data)
	case err != nil:
		return nil, c.broken(err)
	case len(data) > longestAnswer:
		return nil, &failure{error: errors.New("the answer is longer than 256 MiB")}
	}
	return data, nil
}

// broken is a connection that failed.
func (c *Client) broken(err error) *failure {
	f := &failure{again: true}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // without the address, which stands before it anyway
	}
	if f.error = errors.New(c.clean(err.Error())); errors.Is(err, context.DeadlineExceeded) {
		f.error = errors.Errorf("no answer within %v", c.cfg.Timeout)
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		f.refused = true
	}
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &name) && name.IsNotFound || errors.As(err, &certificate) {
		f.again, f.refused = false, true
	}
	return f
}

// refusal is an answer of another status than 200.
func (c *Client) refusal(r *http.Response, body []byte) *failure {
	var told struct {
		Error  string `json:"error"`
		Detail any    `json:"detail"` // MLServer's, for requests that it cannot read
	}
	text := strings.TrimSpace(string(body[:min(len(body), 300)]))
	if json.Unmarshal(body, &told) == nil {
		if text = told.Error; text == "" && told.Detail != nil {
			text = fmt.Sprint(told.Detail)
		}
	}
	if to := r.Header.Get("Location"); to != "" && r.StatusCode/100 == 3 {
		text = "it points to " + to + ": give that as the URL"
	}
	f := &failure{error: errors.Errorf("status %s", r.Status), status: r.StatusCode}
	if text = c.clean(text); text != "" {
		f.error = errors.Errorf("status %s: %s", r.Status, text)
	}
	switch s := r.StatusCode; s {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		f.again, f.refused = true, true
		f.wait = retryAfter(r.Header.Get("Retry-After"), time.Now())
	default:
		f.again, f.refused = s >= 500 && s != http.StatusNotImplemented, s < 500
	}
	return f
}

// retryAfter reads the header of that name: seconds or a date.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(max(0, seconds), 1<<30)) * time.Second
	}
	if date, err := http.ParseTime(text); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}

// clean makes a server's words one short line without the authorization, which some repeat.
func (c *Client) clean(text string) string {
	if c.authorization != "" {
		text = strings.ReplaceAll(text, c.authorization, "…")
		if _, token, ok := strings.Cut(c.authorization, " "); ok {
			text = strings.ReplaceAll(text, strings.TrimSpace(token), "…")
		}
	}
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if r := []rune(text); len(r) > 200 {
		text = string(r[:200]) + "…"
	}
	return text
}

// persist repeats a request until it gives something, another try is of no use, or the tries are used up. ask makes one.
func (c *Client) persist(ctx context.Context, ask func() *failure) error {
	for try := 1; ; try++ {
		if err := c.limiter.Wait(ctx); err != nil {
			return cause(ctx, err)
		}
		f := ask()
		switch {
		case f == nil:
			return nil
		case !f.again:
			return f
		case try > c.cfg.Retries:
			if try == 1 {
				return f
			}
			return errors.WithMessagef(f, "gave up after %d tries", try)
		case f.wait > longestWait:
			return errors.WithMessagef(f, "the server asks to come back in %v", f.wait)
		}
		timer := time.NewTimer(max(f.wait, c.backoff(try)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// backoff is what to wait behind a try: twice as long each time, less up to half of it at random, so that clients that
// failed together do not come back together.
func (c *Client) backoff(try int) time.Duration {
	d := c.cfg.Backoff << min(try-1, 20)
	if d <= 0 || d > longestBackoff {
		d = longestBackoff
	}
	return d - time.Duration(rand.Int64N(int64(d)/2+1))
}

// cause prefers the context's reason to what was made of it.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
