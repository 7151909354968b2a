package input

import (
	"fmt"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// kustomize adds what a folder with a kustomization renders to, as kubectl
// kustomize does: no plugin runs, and files that are not of the folder can only
// be other kustomizations. One that names a base by URL has it fetched, with git
// or over HTTP; it is the one thing here that goes to the network unasked.
func (w *walker) kustomize(folder string) {
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		w.refuse(folder, fmt.Errorf("cannot be rendered by kustomize: %s", oneLine(err.Error())))
		return
	}
	data, err := resources.AsYaml()
	if err != nil {
		w.refuse(folder, fmt.Errorf("cannot be written as YAML: %s", oneLine(err.Error())))
		return
	}
	w.entries = append(w.entries, entry{name: folder, data: data, named: true, rendered: true})
}
