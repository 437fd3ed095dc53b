package watermark

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
)

// Commit is SHA-256(key|nonce), by which an owner fixes a key without showing it.
func (k *Key) Commit(nonce [32]byte) [32]byte {
	return sha256.Sum256(append(k.canonical(), nonce[:]...))
}

// Commitment fixes a key, and the weights that were marked by it, before anyone sees the network. Hash and Weights are for
// publication at a place that proves the day: a newspaper, a time-stamping service, a public log. Nonce stays with the key
// until the key is shown.
type Commitment struct {
	Hash    string `json:"hash"`              // hexadecimal: SHA-256(key|nonce)
	Weights string `json:"weights,omitempty"` // hexadecimal: SHA-256 of the marked network's weights; "": not committed
	Nonce   string `json:"nonce,omitempty"`   // hexadecimal; "": in the public part
}

// NewCommitment commits a key under a fresh nonce, along with the weights of a marked network, or without if m is nil.
func NewCommitment(k *Key, m *nets.Model) (*Commitment, error) {
	var nonce [32]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return nil, errors.Wrap(err, "commit")
	}
	hash := k.Commit(nonce)
	c := &Commitment{Hash: hex.EncodeToString(hash[:]), Nonce: hex.EncodeToString(nonce[:])}
	if m != nil {
		var err error
		if c.Weights, err = weightsHash(m); err != nil {
			return nil, errors.WithMessage(err, "commit")
		}
	}
	return c, nil
}

// Public is what is published: the commitment without its nonce.
func (c *Commitment) Public() *Commitment { return &Commitment{Hash: c.Hash, Weights: c.Weights} }

// Check reports a key that is not the one committed to.
func (c *Commitment) Check(k *Key) error {
	nonce, err := hex.DecodeString(c.Nonce)
	if err != nil || len(nonce) != 32 {
		return errors.New("commitment: without its nonce, 64 hexadecimal digits, no key can be checked: give the file that commit wrote")
	}
	want, err := hex.DecodeString(c.Hash)
	if err != nil || len(want) != 32 {
		return errors.New("commitment: its hash is no SHA-256, 64 hexadecimal digits")
	}
	if hash := k.Commit([32]byte(nonce)); subtle.ConstantTimeCompare(hash[:], want) != 1 {
		return errors.New("commitment: made for another key")
	}
	return nil
}

// CheckWeights reports a network whose weights are not the ones committed to.
func (c *Commitment) CheckWeights(m *nets.Model) error {
	if c.Weights == "" {
		return errors.New("commitment: names no weights")
	}
	hash, err := weightsHash(m)
	if err == nil && hash != c.Weights {
		err = errors.New("made for other weights")
	}
	return errors.WithMessage(err, "commitment")
}

// Write keeps the commitment and its nonce in a file for its owner alone.
func (c *Commitment) Write(path string) error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return writePrivate(path, append(data, '\n'))
}

// ReadCommitment reads what [Commitment.Write] wrote; a file with a nonce that others may read is refused.
func ReadCommitment(path string) (*Commitment, error) {
	data, err := readPrivate(path, 1<<20)
	if err != nil {
		return nil, errors.WithMessage(err, "commitment")
	}
	var c Commitment
	if err := json.Unmarshal(data, &c); err != nil || c.Hash == "" {
		return nil, errors.Errorf("commitment %s: is no file that commit wrote", path)
	}
	return &c, nil
}

// weightsHash hashes weights and state of a network, with their shapes, in the network's order.
func weightsHash(m *nets.Model) (string, error) {
	sum := sha256.New()
	all := append(append([]string{}, m.WeightPaths...), m.StatePaths...)
	for _, path := range all {
		v := m.Store.GetVariable(path)
		if v == nil || !v.HasValue() {
			return "", errors.Errorf("%s: weight %s is not in the model's store", m.Name, path)
		}
		value, err := v.Value()
		if err != nil {
			return "", err
		}
		sum.Write(appendText(nil, path+" "+value.Shape().String()))
		if err := value.ConstBytes(func(b []byte) { sum.Write(b) }); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
