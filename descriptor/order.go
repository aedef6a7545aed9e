package descriptor

import (
	"maps"
	"slices"
	"strings"
)

// orderFragments puts fragments in order (Servlet 6.1 §8.2.2). They come sorted by
// the names of their archives, and stay so where nothing says otherwise.
func orderFragments(app *WebApp, frags []*WebApp, ds *Diagnostics) []*WebApp {
	if app.Ordering.Absolute != nil {
		return absoluteOrder(app, frags, ds)
	}
	seen := map[string]*WebApp{}
	for _, f := range frags {
		if first := seen[f.fragmentName]; first != nil {
			ds.errorf(f.Pos, "two fragments have the name %q (the other is %s); rename one, or order them with <absolute-ordering>", f.fragmentName, first.Pos)
			return frags
		}
		seen[f.fragmentName] = f
	}
	return relativeOrder(frags, ds)
}

// absoluteOrder takes the named fragments in order; without <others/> the rest is left out.
func absoluteOrder(app *WebApp, frags []*WebApp, ds *Diagnostics) []*WebApp {
	named := map[string]*WebApp{}
	for _, f := range frags {
		if named[f.fragmentName] == nil {
			named[f.fragmentName] = f
		}
	}
	listed := map[string]bool{}
	for _, name := range app.Ordering.Absolute {
		listed[name] = true
	}
	var out []*WebApp
	done := map[string]bool{}
	for _, name := range app.Ordering.Absolute {
		switch f := named[name]; {
		case name == OthersName:
			for _, f := range frags {
				if !listed[f.fragmentName] {
					out = append(out, f)
				}
			}
		case f == nil:
			ds.warnf(app.Ordering.Pos, "the absolute ordering names the fragment %q, which is not there%s", name, didYouMean(name, slices.Sorted(maps.Keys(named))))
		case !done[name]: // the first mention counts
			done[name] = true
			out = append(out, f)
		}
	}
	return out
}

// The three parts of a relative order.
const (
	partBefore = -1 // before the others
	partMiddle = 0
	partAfter  = 1 // after the others
)

// relativeOrder sorts by before and after. A fragment that must come before one that comes before the
// others does so too, and likewise at the end.
func relativeOrder(frags []*WebApp, ds *Diagnostics) []*WebApp {
	all := edges(frags)
	part, ok := parts(frags, all, ds)
	if !ok {
		return frags
	}
	for _, e := range all {
		if part[e.first] > part[e.then] {
			ds.errorf(e.then.Ordering.Pos, "the ordering contradicts itself: %q must come after %q and before the others", e.then.fragmentName, e.first.fragmentName)
			return frags
		}
	}
	var out []*WebApp
	for _, p := range []int{partBefore, partMiddle, partAfter} {
		var group []*WebApp
		for _, f := range frags {
			if part[f] == p {
				group = append(group, f)
			}
		}
		sorted, cycle := topological(group, all)
		if cycle != nil {
			names := make([]string, len(cycle))
			for i, f := range cycle {
				names[i] = f.fragmentName
			}
			ds.errorf(cycle[0].Ordering.Pos, "the orderings of the fragments %s are a circle: each must come before itself", strings.Join(names, ", "))
			return frags
		}
		out = append(out, sorted...)
	}
	return out
}

// edge says that one fragment must come before another.
type edge struct{ first, then *WebApp }

// edges collects what the fragments' orderings ask for, in the order of the fragments.
func edges(frags []*WebApp) []edge {
	named := map[string]*WebApp{}
	for _, f := range frags {
		named[f.fragmentName] = f
	}
	var all []edge
	seen := map[edge]bool{}
	add := func(e edge) {
		if e.first != nil && e.then != nil && !seen[e] { // names that are not there are ignored
			seen[e] = true
			all = append(all, e)
		}
	}
	for _, f := range frags {
		for _, n := range f.Ordering.Before {
			add(edge{f, named[n]})
		}
		for _, n := range f.Ordering.After {
			add(edge{named[n], f})
		}
	}
	return all
}

// parts says which part of the order each fragment belongs to.
func parts(frags []*WebApp, all []edge, ds *Diagnostics) (map[*WebApp]int, bool) {
	part := map[*WebApp]int{}
	for _, f := range frags {
		before, after := slices.Contains(f.Ordering.Before, OthersName), slices.Contains(f.Ordering.After, OthersName)
		switch {
		case before && after:
			ds.errorf(f.Ordering.Pos, "the fragment %q wants to be both before and after the others", f.fragmentName)
			return nil, false
		case before:
			part[f] = partBefore
		case after:
			part[f] = partAfter
		}
	}
	for changed := true; changed; {
		changed = false
		for _, e := range all {
			switch {
			case part[e.then] == partBefore && part[e.first] == partMiddle:
				part[e.first], changed = partBefore, true
			case part[e.first] == partAfter && part[e.then] == partMiddle:
				part[e.then], changed = partAfter, true
			}
		}
	}
	return part, true
}

// topological sorts stably: of those that nothing more must precede, the first. What is in a
// circle, or behind one, is returned as such.
func topological(group []*WebApp, all []edge) (sorted, cycle []*WebApp) {
	in := map[*WebApp]bool{}
	for _, f := range group {
		in[f] = true
	}
	waits := map[*WebApp]int{}
	then := map[*WebApp][]*WebApp{}
	for _, e := range all {
		if in[e.first] && in[e.then] {
			waits[e.then]++
			then[e.first] = append(then[e.first], e.then)
		}
	}
	rest := slices.Clone(group)
	for len(rest) > 0 {
		i := slices.IndexFunc(rest, func(f *WebApp) bool { return waits[f] == 0 })
		if i < 0 {
			return nil, rest
		}
		for _, t := range then[rest[i]] {
			waits[t]--
		}
		sorted = append(sorted, rest[i])
		rest = slices.Delete(rest, i, i+1)
	}
	return sorted, nil
}
