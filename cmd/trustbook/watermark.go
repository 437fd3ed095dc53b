package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trustbook/trustbook/npy"
	"github.com/trustbook/trustbook/watermark"
)

func newWatermark() *cobra.Command {
	return group("watermark", "Watermarks in the input gradients of a model: make, embed, extract, verify, remove",
		newKeygen(), newCommit(), newEmbed(), newExtract(), newVerify(), newWatermarkRemove())
}

// keygenFlags are the flags of `trustbook watermark keygen`.
type keygenFlags struct {
	owner, secretFile, secretFrom, shape, out string
	matrix, carriersFile, signature           string
	bits, target                              int
	asJSON                                    bool
}

func newKeygen() *cobra.Command {
	var f keygenFlags
	c := &cobra.Command{
		Use:   "keygen --shape 1,28,28 --target T --out KEY [--owner TEXT]",
		Short: "Make a key: from a secret, from chance, or from arrays of somebody else's key",
		Long: "Make the key that a watermark is made and read by, in a file that its owner alone may read. The same secret and\n" +
			"options give the same key again; without a secret it is drawn at random, and the file is all there is of it.\n" +
			"With --matrix, --carriers and --signature the key is made of arrays.",
		Example: "  trustbook watermark keygen --owner 'Acme Ltd' --bits 64 --carriers 392 --shape 1,28,28 --target 0 --out KEY\n" +
			"  trustbook watermark keygen --matrix K.npy --carriers I.npy --signature W.npy --target 7 --shape 1,28,28 --out KEY",
		Args:        takes(),
		Annotations: map[string]string{onStop: "nothing"},
		RunE:        func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	flags := c.Flags()
	flags.StringVar(&f.owner, "owner", "", "`TEXT` that the signature is made of, such as a name")
	flags.StringVar(&f.secretFile, "secret-file", "", "`FILE` with the secret; a line's end at its end is no part of it")
	flags.StringVar(&f.secretFrom, "secret-from", "", "environment `VARIABLE` that holds the secret")
	flags.StringVar(&f.shape, "shape", "", "shape of an example as the model takes it, such as `1,28,28`")
	flags.IntVar(&f.target, "target", 0, "`CLASS` whose gradients carry the mark")
	flags.IntVar(&f.bits, "bits", 64, "`NUMBER` of bits")
	flags.StringVar(&f.carriersFile, "carriers", "",
		"`NUMBER` of inputs that carry the mark (default: half of them), or with --matrix an NPY file with their coordinates [carriers]")
	flags.StringVar(&f.matrix, "matrix", "", "NPY `FILE` with a matrix [bits, carriers]")
	flags.StringVar(&f.signature, "signature", "", "NPY `FILE` with its bits [bits], integers or booleans")
	flags.StringVar(&f.out, "out", "", "`FILE` for the key")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	for _, name := range []string{"shape", "target", "out"} {
		_ = c.MarkFlagRequired(name)
	}
	return c
}

func (f *keygenFlags) run(c *cobra.Command) error {
	if err := f.check(c.Flags().Changed); err != nil {
		return err
	}
	k, err := f.key()
	if err != nil {
		return err
	}
	if err := k.Write(f.out); err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(c, map[string]any{"out": f.out, "shape": k.Shape, "target": k.Target, "bits": len(k.Signature),
			"carriers": len(k.Carriers), "notes": append([]string{}, k.Notes()...)})
	}
	fmt.Fprintf(c.OutOrStdout(), "Key of %d bits on %d carriers of %v, for class %d: %s\n",
		len(k.Signature), len(k.Carriers), k.Shape, k.Target, f.out)
	printNotes(c, k.Notes())
	return nil
}

// check refuses flags that do not go together, and an output that is there already: a key that is lost cannot be made again.
func (f *keygenFlags) check(changed func(flag string) bool) error {
	if f.matrix == "" {
		if f.signature != "" {
			return usagef("--signature goes with --matrix and --carriers")
		}
		if f.secretFile != "" && f.secretFrom != "" {
			return usagef("--secret-file and --secret-from: give one of them")
		}
	} else {
		if f.carriersFile == "" || f.signature == "" {
			return usagef("--matrix needs --carriers and --signature, each a file")
		}
		for _, name := range []string{"secret-file", "secret-from", "bits"} {
			if changed(name) {
				return usagef("--%s does not go with --matrix", name)
			}
		}
	}
	if _, err := os.Lstat(f.out); err == nil {
		return usagef("--out %s: is there already, and may be a key: name another", f.out)
	}
	return checkOutFile("out", f.out)
}

func (f *keygenFlags) key() (*watermark.Key, error) {
	shape, err := wholes("shape", f.shape)
	if err != nil {
		return nil, err
	}
	if f.matrix != "" {
		return f.fromArrays(shape)
	}
	carriers := 0
	if f.carriersFile != "" {
		if carriers, err = strconv.Atoi(f.carriersFile); err != nil || carriers < 1 {
			return nil, usagef("--carriers %s: want a whole number of at least 1; a file goes with --matrix", f.carriersFile)
		}
	}
	if f.bits < 1 {
		return nil, usagef("--bits %d: must be at least 1", f.bits)
	}
	secret, err := f.secret()
	if err != nil {
		return nil, err
	}
	k, err := watermark.NewKey(secret, f.owner, watermark.KeyOptions{Shape: shape, Target: f.target, Bits: f.bits, Carriers: carriers})
	if err != nil {
		return nil, usageError{err}
	}
	return k, nil
}

// wholes reads a list of whole numbers.
func wholes(flag, text string) (all []int, err error) {
	for _, part := range strings.Split(text, ",") {
		d, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || d < 1 {
			return nil, usagef("--%s %s: want whole numbers, such as 1,28,28", flag, text)
		}
		all = append(all, d)
	}
	return all, nil
}

// secret is what the key is made of: 32 random bytes where none is given.
func (f *keygenFlags) secret() (secret []byte, err error) {
	switch {
	case f.secretFile != "":
		if secret, err = os.ReadFile(f.secretFile); err != nil {
			return nil, wrongFile("secret-file", f.secretFile, errors.New("cannot be read"))
		}
		secret = bytes.TrimSuffix(bytes.TrimSuffix(secret, []byte("\n")), []byte("\r"))
		if len(secret) == 0 {
			return nil, usagef("--secret-file %s: is empty", f.secretFile)
		}
	case f.secretFrom != "":
		if secret = []byte(os.Getenv(f.secretFrom)); len(secret) == 0 {
			return nil, usagef("--secret-from %s: the environment variable is not set", f.secretFrom)
		}
	default:
		secret = make([]byte, 32)
		_, err = rand.Read(secret)
	}
	return secret, err
}

func (f *keygenFlags) fromArrays(shape []int) (*watermark.Key, error) {
	k := watermark.Key{Owner: f.owner, Shape: shape, Target: f.target}
	rows, err := npy.ReadRows(f.matrix)
	if err != nil {
		return nil, wrongFile("matrix", f.matrix, err)
	}
	for _, row := range rows {
		wide := make([]float64, len(row))
		for i, v := range row {
			wide[i] = float64(v)
		}
		k.Matrix = append(k.Matrix, wide)
	}
	carriers, err := npy.ReadLabels(f.carriersFile)
	if err != nil {
		return nil, wrongFile("carriers", f.carriersFile, err)
	}
	for _, c := range carriers {
		k.Carriers = append(k.Carriers, int(c))
	}
	bits, err := npy.ReadLabels(f.signature)
	if err != nil {
		return nil, wrongFile("signature", f.signature, err)
	}
	for i, b := range bits {
		if b != 0 && b != 1 {
			return nil, usagef("--signature %s: value at row %d is neither 0 nor 1", f.signature, i)
		}
		k.Signature = append(k.Signature, b == 1)
	}
	made, err := watermark.KeyFromArrays(k)
	if err != nil {
		return nil, usageError{err}
	}
	return made, nil
}

// readKey reads the key that --key names.
func readKey(path string) (*watermark.Key, error) {
	k, err := watermark.ReadKey(path)
	if err != nil {
		return nil, usagef("--key %s: %s", path, strings.TrimPrefix(strings.TrimPrefix(oneLine(err), "key "+path+": "), "key: "))
	}
	return k, nil
}

// commitFlags are the flags of `trustbook watermark commit`.
type commitFlags struct {
	modelFlags
	key, out string
	asJSON   bool
}

func newCommit() *cobra.Command {
	var f commitFlags
	c := &cobra.Command{
		Use:   "commit --key KEY [--model M.onnx] --out FILE",
		Short: "Fix a key, and the marked weights, by hashes to be published before the model is",
		Long: "Print a hash of the key, and with --model one of the weights, to be registered before the model is released at a\n" +
			"place that proves the day. The file holds the nonce that opens the commitment: keep it with the key, and give it\n" +
			"to `trustbook watermark verify --commitment`.",
		Example:     "  trustbook watermark commit --key KEY --model M2.onnx --out COMMITMENT",
		Args:        takes(),
		Annotations: map[string]string{onStop: "nothing"},
		RunE:        func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	flags := c.Flags()
	flags.StringVar(&f.key, "key", "", "`FILE` of the key")
	flags.StringVar(&f.model, "model", "", "ONNX `FILE` of the marked model, whose weights are committed too")
	flags.StringVar(&f.out, "out", "", "`FILE` for the commitment and its nonce")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	for _, name := range []string{"key", "out"} {
		_ = c.MarkFlagRequired(name)
	}
	return c
}

func (f *commitFlags) run(c *cobra.Command) error {
	if _, err := os.Lstat(f.out); err == nil {
		return usagef("--out %s: is there already, and may be a commitment: name another", f.out)
	}
	if err := checkOutFile("out", f.out, input{"key", f.key}, input{"model", f.model}); err != nil {
		return err
	}
	k, err := readKey(f.key)
	if err != nil {
		return err
	}
	f.bounds = "0,1" // which weights do not depend on
	m, err := f.maybeModel(k)
	if err != nil {
		return err
	}
	made, err := watermark.NewCommitment(k, m)
	if err != nil {
		return err
	}
	if err := made.Write(f.out); err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(c, map[string]any{"hash": made.Hash, "weights": made.Weights, "out": f.out})
	}
	fmt.Fprintf(c.OutOrStdout(), "Register before the release, where the day can be proved:\nkey     %s\n", made.Hash)
	if m != nil {
		fmt.Fprintf(c.OutOrStdout(), "weights %s\n", made.Weights)
	}
	fmt.Fprintf(c.OutOrStdout(), "Keep with the key: %s\n", f.out)
	return nil
}
