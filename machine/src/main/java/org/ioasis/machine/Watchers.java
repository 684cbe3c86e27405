// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.util.List;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.virtio.iommu.IommuObserver;
import org.ioasis.virtio.iommu.IommuRequest;
import org.jspecify.annotations.Nullable;

/**
 * Several observers of one IOMMU, told in the order of their coming. Those that ask for the time of
 * a request have one clock. Immutable.
 */
final class Watchers implements IommuObserver {
    private final List<IommuObserver> watchers;

    Watchers(List<IommuObserver> watchers) {
        this.watchers = List.copyOf(watchers);
    }

    @Override
    public void started(long features) {
        for (IommuObserver watcher : watchers) {
            watcher.started(features);
        }
    }

    @Override
    public void reset() {
        watchers.forEach(IommuObserver::reset);
    }

    @Override
    public long taken() {
        long taken = 0;
        for (IommuObserver watcher : watchers) {
            long said = watcher.taken();
            taken = said == 0 ? taken : said;
        }
        return taken;
    }

    @Override
    public void answeredSince(long taken) {
        for (IommuObserver watcher : watchers) {
            watcher.answeredSince(taken);
        }
    }

    @Override
    public void answered(IommuRequest request, @Nullable Status status, String why) {
        for (IommuObserver watcher : watchers) {
            watcher.answered(request, status, why);
        }
    }

    @Override
    public void waits(IommuRequest request) {
        for (IommuObserver watcher : watchers) {
            watcher.waits(request);
        }
    }

    @Override
    public void refusedAccess(Fault fault) {
        for (IommuObserver watcher : watchers) {
            watcher.refusedAccess(fault);
        }
    }

    @Override
    public void delivered(Fault fault) {
        for (IommuObserver watcher : watchers) {
            watcher.delivered(fault);
        }
    }

    @Override
    public void injected(String what) {
        for (IommuObserver watcher : watchers) {
            watcher.injected(what);
        }
    }
}
