package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// claim takes the turn of a deployed application.
func (h *Host) claim(ctx context.Context, name Name) (*app, error) {
	h.mu.Lock()
	a, stopped := h.apps[name], h.stopped
	h.mu.Unlock()
	if a == nil || stopped {
		return nil, h.errNotDeployed(name)
	}
	if err := a.take(ctx); err != nil {
		return nil, fmt.Errorf("application %s is busy: %w", name.Display(), err)
	}
	if a.removed {
		a.give()
		return nil, h.errNotDeployed(name)
	}
	return a, nil
}

// Reload starts a new generation of an application from its files as they are
// now, and exchanges it for the one that serves. It returns when the new one
// serves; the old one's requests may still be running. An error is also what
// Apps reports, and leaves the old generation serving.
func (h *Host) Reload(ctx context.Context, name Name) (AppInfo, error) {
	a, err := h.claim(ctx, name)
	if err != nil {
		return AppInfo{}, err
	}
	defer a.give()
	found, err := h.list()
	if err != nil {
		return a.info(h.opts.Name), err
	}
	now := h.complete(a, found[name])
	d := decide(a.origin, a.tried, now)
	if d.action == actNone {
		d = decision{action: actReload, why: "asked for"}
	}
	// The work ends with the host, not with the one who asked for it: a
	// deployment that stops half way helps nobody.
	err = h.carryOut(h.ctx, a, now, d)
	return a.info(h.opts.Name), err
}

// Undeploy stops an application and removes its bundle from the appBase and
// its context file from the xmlBase. A bundle outside of both is left alone.
func (h *Host) Undeploy(ctx context.Context, name Name) error {
	a, err := h.claim(ctx, name)
	if err != nil {
		return err
	}
	defer a.give()
	return h.undeploy(h.ctx, a, "asked for")
}

// Deploy copies a bundle (a folder, .war or .zip) into the appBase, under the
// given base name (shop, shop##2) or, if that is "", its own, and deploys it.
// A bundle that is in the appBase already is deployed as it is. What is
// deployed under the name is replaced once the new one runs.
func (h *Host) Deploy(ctx context.Context, bundle, baseName string) (AppInfo, error) {
	bundle, err := filepath.Abs(bundle)
	if err != nil {
		return AppInfo{}, err
	}
	st, err := os.Stat(bundle)
	if err != nil {
		return AppInfo{}, err
	}
	if !st.IsDir() && !isArchive(bundle) {
		return AppInfo{}, fmt.Errorf("%s: a bundle is a folder, a .war or a .zip", bundle)
	}
	name := ParseFileName(filepath.Base(bundle), !st.IsDir())
	if baseName != "" {
		name = ParseName(baseName)
	}
	if err := name.Check(); err != nil {
		return AppInfo{}, err
	}
	a, err := h.claimOrRegister(ctx, name)
	if err != nil {
		return AppInfo{}, err
	}
	defer a.give()
	if err := h.deployAs(ctx, a, bundle, st.IsDir()); err != nil {
		if a.current.Load() == nil && a.generations == 0 && a.status.Load().state == Starting {
			h.forget(a)
		}
		return a.info(h.opts.Name), err
	}
	return a.info(h.opts.Name), nil
}

func (h *Host) claimOrRegister(ctx context.Context, name Name) (*app, error) {
	for {
		h.mu.Lock()
		if h.stopped {
			h.mu.Unlock()
			return nil, errors.New("the host is stopping")
		}
		if h.apps[name] == nil {
			a := h.registerLocked(name)
			h.mu.Unlock()
			return a, nil
		}
		h.mu.Unlock()
		a, err := h.claim(ctx, name)
		if err == nil || ctx.Err() != nil {
			return a, err
		}
		// It was undeployed in between: take the name.
	}
}

func (h *Host) deployAs(ctx context.Context, a *app, bundle string, isDir bool) error {
	if a.origin.docBase != "" {
		return fmt.Errorf("application %s is deployed from %s by its context file %s: undeploy it first",
			a.name.Display(), a.origin.docBase, a.tried.xml.path)
	}
	target := filepath.Join(h.opts.AppBase, a.name.BaseName())
	if !isDir {
		target += filepath.Ext(bundle)
	}
	var replaced string
	if bundle != target {
		var err error
		if replaced, err = h.bringIn(ctx, a, bundle, target, isDir); err != nil {
			return err
		}
	}
	found, err := h.list()
	if err != nil {
		h.restore(&opened{replaced: replaced})
		return err
	}
	return h.renew(h.ctx, a, h.complete(a, found[a.name]),
		decision{action: actRedeploy, why: "asked for", unpack: true, dropDir: !isDir, replaced: replaced})
}

// bringIn copies a bundle into the appBase. What lies there under its name is
// moved away: the zip for a folder and the folder for a folder, while a zip
// replaces a zip at one stroke, and the folder when it is unpacked.
func (h *Host) bringIn(ctx context.Context, a *app, bundle, target string, isDir bool) (replaced string, err error) {
	if !isDir {
		copied, err := h.copyFile(bundle, h.opts.AppBase, tempPrefix+"*.zip")
		if err != nil {
			return "", err
		}
		if err := errors.Join(os.Chmod(copied, 0o644), os.Rename(copied, target)); err != nil {
			_ = os.Remove(copied)
			return "", err
		}
		h.removeOtherZip(a, target)
		return "", nil
	}
	place, err := os.MkdirTemp(h.opts.AppBase, tempPrefix+"unpack-*")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(place) }() // of no use any more; a scan removes what stays
	fresh := filepath.Join(place, filepath.Base(target))
	if err := copyTree(ctx, bundle, fresh); err != nil {
		return "", err
	}
	replaced, err = h.moveAway(look(target))
	if err == nil {
		err = os.Rename(fresh, target)
	}
	if err != nil {
		h.restore(&opened{replaced: replaced})
		return "", err
	}
	h.removeOtherZip(a, "")
	return replaced, nil
}

// removeOtherZip removes zips of the application's name except keep: they
// would take precedence.
func (h *Host) removeOtherZip(a *app, keep string) {
	for _, ext := range []string{".war", ".zip"} {
		path := filepath.Join(h.opts.AppBase, a.name.BaseName()+ext)
		if path != keep {
			_ = h.remove(look(path)) // what cannot be deleted is logged, and takes precedence
		}
	}
}
