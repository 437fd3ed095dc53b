package report

import (
	"bytes"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"time"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/protocol"
)

// Output is where [Show] prints outside a notebook.
var Output io.Writer = os.Stdout

// Text is a paragraph for [Show], in Markdown.
type Text string

// Textf returns a formatted paragraph.
func Textf(format string, args ...any) Text { return Text(fmt.Sprintf(format, args...)) }

// Show displays x in a GoNB notebook, and prints it to [Output] elsewhere. x is a *Table, *Figure, *Grid,
// *Animation, Claim, []Claim or Text, or a slice of tables or figures. A picture prints as one line.
func Show(x any) error {
	switch x := x.(type) {
	case *Table:
		if x == nil {
			return errors.New("show: the table is nil")
		}
		if err := x.Check(); err != nil {
			return err
		}
		return display(x.HTML(), x.Markdown(), x.Text())
	case Table:
		return Show(&x)
	case *Figure:
		if x == nil {
			return errors.New("show: the figure is nil")
		}
		return showPicture("Figure", x.Title, x.Caption, x.AltText(), x.PNG)
	case Figure:
		return Show(&x)
	case *Grid:
		if x == nil {
			return errors.New("show: the grid is nil")
		}
		return showPicture("Images", x.Title, x.Caption, x.AltText(), x.PNG)
	case Grid:
		return Show(&x)
	case *Animation:
		if x == nil {
			return errors.New("show: the animation is nil")
		}
		return showPicture("Animation", x.Title, x.Caption, x.AltText(), x.PNG)
	case Animation:
		return Show(&x)
	case Claim:
		return Show([]Claim{x})
	case []Claim:
		return Show(ClaimTable(x))
	case Text:
		return display("", string(x), plainText(string(x))+"\n")
	case []*Table:
		return showAll(x)
	case []*Figure:
		return showAll(x)
	case []*Grid:
		return showAll(x)
	case []*Animation:
		return showAll(x)
	}
	return fmt.Errorf("show: a %T cannot be shown: use a table, figure, grid, animation, claims or text of this package", x)
}

func showAll[T any](xs []T) error {
	for _, x := range xs {
		if err := Show(x); err != nil {
			return err
		}
	}
	return nil
}

// display sends one bundle to the notebook, or prints the text.
func display(html, markdown, text string) error {
	if !gonbui.IsNotebook {
		_, err := io.WriteString(Output, text)
		return err
	}
	data := map[protocol.MIMEType]any{protocol.MIMETextMarkdown: markdown, protocol.MIMETextPlain: text}
	if html != "" {
		data[protocol.MIMETextHTML] = html
	}
	return send(data)
}

// taken is how long the kernel may need to take what is shown.
const taken = 30 * time.Second

// send waits until the kernel has taken the bundle: it drops what is still on its way when the cell's program ends.
func send(data map[protocol.MIMEType]any) error {
	gonbui.SendData(&protocol.DisplayData{Data: data, Metadata: map[string]any{}})
	if err := gonbui.Error(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		gonbui.Sync()
		close(done)
	}()
	select {
	case <-done:
		return gonbui.Error()
	case <-time.After(taken):
		return fmt.Errorf("show: the notebook's kernel did not take what was to be shown within %s: "+
			"restart the kernel and run the cell again", taken)
	}
}

// showPicture displays a PNG with its caption; elsewhere one line says what it shows.
func showPicture(kind, title, caption, alt string, draw func() ([]byte, error)) error {
	data, err := draw()
	if err != nil {
		return err
	}
	config, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return err
	}
	line := fmt.Sprintf("%s (%dx%d pixels): %s\n", kind, config.Width, config.Height, oneLine(alt))
	if !gonbui.IsNotebook {
		_, err := io.WriteString(Output, line)
		return err
	}
	if err := send(map[protocol.MIMEType]any{protocol.MIMEImagePNG: data, protocol.MIMETextPlain: line}); err != nil {
		return err
	}
	if caption == "" {
		return nil
	}
	return display("", "*"+escapeMarkdown(caption)+"*", plainText(caption)+"\n")
}
