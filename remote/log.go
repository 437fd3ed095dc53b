package remote

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
	"sync"

	"github.com/pkg/errors"
	"golang.org/x/sys/unix"
)

// magic begins an answer log. Records follow, little-endian:
//
//	1   'L' a label, 'S' scores
//	2   number of words
//	16  key: hash of the endpoint and the row
//	4·n words, as in answer
//	4   CRC-32C of all of these
const magic = "TBANSW1\n"

const recordHead = 1 + 2 + 16

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// key tells a question from all others.
type key [16]byte

// answerLog keeps answers in a file that only grows.
type answerLog struct {
	mutex   sync.Mutex
	file    *os.File
	at      map[key]int64 // where its record begins
	end     int64
	dropped int64 // bytes of a damaged tail
}

// openLog opens or creates a log for this process alone, and drops what is damaged at its end.
func openLog(path string) (_ *answerLog, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, errors.Errorf("the answer log cannot be opened: %v", err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Errorf("the answer log %s is in use by another process, or cannot be locked: %v", path, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	l := &answerLog{file: f, at: map[key]int64{}}
	l.end, err = scan(bufio.NewReaderSize(f, 1<<20), func(k key, at int64) { l.at[k] = at })
	switch {
	case errors.Is(err, errNoLog):
		return nil, errors.Errorf("%s is no answer log: name a file that is one, or none yet", path)
	case err != nil:
		return nil, errors.Errorf("the answer log %s cannot be read: %v", path, err)
	}
	if l.dropped = info.Size() - l.end; l.dropped > 0 {
		if err := f.Truncate(l.end); err != nil {
			return nil, err
		}
	}
	if l.end == 0 {
		if _, err := f.WriteAt([]byte(magic), 0); err != nil {
			return nil, err
		}
		l.end = int64(len(magic))
	}
	return l, nil
}

var errNoLog = errors.New("no answer log")

// scan reads a log up to its end or the first damage, and returns how many bytes are sound: 0 for one that is empty or was cut
// inside its first line.
func scan(r io.Reader, each func(k key, at int64)) (sound int64, err error) {
	first := make([]byte, len(magic))
	switch n, err := io.ReadFull(r, first); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		if magic[:n] != string(first[:n]) {
			return 0, errNoLog
		}
		return 0, nil
	case err != nil:
		return 0, err
	case string(first) != magic:
		return 0, errNoLog
	}
	sound = int64(len(magic))
	for {
		k, _, length, err := readRecord(r)
		switch {
		case errors.Is(err, errDamaged), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return sound, nil
		case err != nil:
			return 0, err
		}
		each(k, sound)
		sound += int64(length)
	}
}

var errDamaged = errors.New("damaged")

func readRecord(r io.Reader) (k key, a answer, length int, err error) {
	head := make([]byte, recordHead)
	if _, err = io.ReadFull(r, head); err != nil {
		return k, a, 0, err
	}
	n := int(binary.LittleEndian.Uint16(head[1:]))
	if a.label = head[0] == 'L'; !a.label && head[0] != 'S' || n == 0 || a.label && n != 1 {
		return k, a, 0, errDamaged
	}
	rest := make([]byte, 4*n+4)
	if _, err = io.ReadFull(r, rest); err != nil {
		return k, a, 0, err
	}
	sum := crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, rest[:4*n])
	if sum != binary.LittleEndian.Uint32(rest[4*n:]) {
		return k, a, 0, errDamaged
	}
	a.words = make([]uint32, n)
	for i := range a.words {
		a.words[i] = binary.LittleEndian.Uint32(rest[4*i:])
	}
	return key(head[3:]), a, len(head) + len(rest), nil
}

// appendRecord encodes one answer.
func appendRecord(out []byte, k key, a answer) []byte {
	begin, kind := len(out), byte('S')
	if a.label {
		kind = 'L'
	}
	out = append(out, kind)
	out = binary.LittleEndian.AppendUint16(out, uint16(len(a.words)))
	out = append(out, k[:]...)
	for _, w := range a.words {
		out = binary.LittleEndian.AppendUint32(out, w)
	}
	return binary.LittleEndian.AppendUint32(out, crc32.Checksum(out[begin:], castagnoli))
}

// find returns the answer to a question, if it is there.
func (l *answerLog) find(k key) (a answer, ok bool, err error) {
	l.mutex.Lock()
	at, ok := l.at[k]
	end := l.end
	l.mutex.Unlock()
	if !ok {
		return a, false, nil
	}
	head := make([]byte, recordHead)
	if _, err := l.file.ReadAt(head, at); err != nil {
		return a, false, errors.Errorf("the answer log cannot be read: %v", err)
	}
	record := make([]byte, min(end-at, int64(recordHead+4*int(binary.LittleEndian.Uint16(head[1:]))+4)))
	if _, err := l.file.ReadAt(record, at); err != nil {
		return a, false, errors.Errorf("the answer log cannot be read: %v", err)
	}
	_, a, _, err = readRecord(bytes.NewReader(record))
	if err != nil {
		return a, false, errors.New("the answer log was changed while it was in use")
	}
	return a, true, nil
}

// keep appends answers in one write.
func (l *answerLog) keep(keys []key, found []answer) error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	var out []byte
	begins := make([]int64, len(keys))
	for i, k := range keys {
		if len(found[i].words) > 0xffff {
			return errors.Errorf("the answer log holds at most %d scores a row", 0xffff)
		}
		begins[i] = l.end + int64(len(out))
		out = appendRecord(out, k, found[i])
	}
	if _, err := l.file.WriteAt(out, l.end); err != nil {
		return errors.Errorf("the answer log cannot be written: %v", err)
	}
	for i, k := range keys {
		l.at[k] = begins[i]
	}
	l.end += int64(len(out))
	return nil
}

func (l *answerLog) close() error { return l.file.Close() }
