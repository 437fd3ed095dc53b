package remote

import (
	"bytes"
	"strconv"

	"github.com/pkg/errors"
)

// numbers reads JSON's data of a tensor, valid JSON already: a list of numbers, or lists of lists. It returns them in order,
// and how many elements the outermost list has. Truth values count as 0 and 1.
func numbers(data []byte) (values []float64, outer int, err error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || data[0] != '[' {
		return nil, 0, errors.New("data is no list of numbers")
	}
	depth, begun, width := 0, 0, -1 // begun: values before the present element of the outermost list
	element := func() error {
		n := len(values) - begun
		if begun = len(values); width >= 0 && n != width {
			return errors.Errorf("data is ragged: an element has %d numbers, another %d", n, width)
		}
		outer, width = outer+1, n
		return nil
	}
	for i := 0; i < len(data); {
		switch b := data[i]; b {
		case '[', ']':
			if b == '[' {
				depth++
			} else if depth--; depth == 1 {
				if err := element(); err != nil {
					return nil, 0, err
				}
			}
			i++
		case ',', ' ', '\t', '\n', '\r':
			i++
		default:
			end := i + 1
			for end < len(data) && !bytes.ContainsRune([]byte(",] \t\n\r["), rune(data[end])) {
				end++
			}
			v, err := number(string(data[i:end]))
			if err != nil {
				return nil, 0, err
			}
			values = append(values, v)
			if i = end; depth == 1 {
				if err := element(); err != nil {
					return nil, 0, err
				}
			}
		}
	}
	return values, outer, nil
}

func number(text string) (float64, error) {
	switch text {
	case "null":
		return 0, errors.New("data holds null, which stands for NaN: look at the model and at what it was asked")
	case "true":
		return 1, nil
	case "false":
		return 0, nil
	}
	if text[0] == '"' {
		return 0, errors.New("data holds texts: classes and scores must be numbers")
	}
	v, err := strconv.ParseFloat(text, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, errors.Errorf("data holds %.20s, which is infinite", text)
	}
	if err != nil {
		return 0, errors.Errorf("data holds %.20q, which is no number", text)
	}
	return v, nil
}
