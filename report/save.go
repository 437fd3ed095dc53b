package report

import (
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// Saved lists the files that [Save] wrote, relative to its folder, with slashes.
type Saved struct {
	Tables  []string `json:"tables"`
	Figures []string `json:"figures"`
}

// Save writes each table to tables/NAME.csv and each figure, grid and animation to figures/NAME.png under dir, where
// NAME is made from its title; a title that stands twice gets -2, -3 and so on. Every picture is drawn
// before the first file is written, and each file is written whole or not at all.
func Save(dir string, parts ...Part) (Saved, error) {
	saved := Saved{Tables: []string{}, Figures: []string{}}
	tables, figures := newNames(), newNames()
	type file struct {
		name string
		data []byte
	}
	var files []file
	addPicture := func(title string, draw func() ([]byte, error)) error {
		data, err := draw()
		if err != nil {
			return err
		}
		name := path.Join("figures", figures.unique(title)+".png")
		saved.Figures = append(saved.Figures, name)
		files = append(files, file{name, data})
		return nil
	}
	for i, p := range parts {
		var err error
		switch p := p.(type) {
		case *Table:
			if p == nil {
				return Saved{}, fmt.Errorf("save: part %d is a nil table", i+1)
			}
			if err = p.Check(); err == nil {
				name := path.Join("tables", tables.unique(p.Title)+".csv")
				saved.Tables = append(saved.Tables, name)
				files = append(files, file{name, []byte(p.CSV())})
			}
		case *Figure:
			if p == nil {
				return Saved{}, fmt.Errorf("save: part %d is a nil figure", i+1)
			}
			err = addPicture(p.Title, p.PNG)
		case *Grid:
			if p == nil {
				return Saved{}, fmt.Errorf("save: part %d is a nil grid", i+1)
			}
			err = addPicture(p.Title, p.PNG)
		case *Animation:
			if p == nil {
				return Saved{}, fmt.Errorf("save: part %d is a nil animation", i+1)
			}
			err = addPicture(p.Title, p.PNG)
		case Text, Formula: // words have no file of their own
		default:
			err = fmt.Errorf("save: part %d is %T: use a table, figure, grid or animation", i+1, p)
		}
		if err != nil {
			return Saved{}, err
		}
	}
	for _, f := range files {
		to := filepath.Join(dir, filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return Saved{}, err
		}
		if err := renameio.WriteFile(to, f.data, 0o644); err != nil {
			return Saved{}, err
		}
	}
	return saved, nil
}

// names hands out names that are each used once.
type names map[string]bool

func newNames(taken ...string) names {
	n := names{}
	for _, t := range taken {
		n[t] = true
	}
	return n
}

func (n names) unique(title string) string {
	base := slug(title)
	name := base
	for i := 2; n[name]; i++ {
		name = fmt.Sprintf("%s-%d", base, i)
	}
	n[name] = true
	return name
}
