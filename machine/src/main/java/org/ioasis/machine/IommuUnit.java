// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.Iommu;
import org.ioasis.peer.Served;
import org.ioasis.peer.SessionTasks;
import org.ioasis.virtio.OfferedDevice;
import org.ioasis.virtio.iommu.Injection;
import org.ioasis.virtio.iommu.IommuObserver;
import org.ioasis.virtio.iommu.VirtioIommuDevice;

/**
 * One IOMMU of a machine and the devices behind it: the engine, the virtio device that drives it,
 * and the server that offers it. Endpoint ids are its own. Made by {@link Machine}; the list of
 * devices is complete when the machine starts, and from then on for any thread.
 */
public final class IommuUnit {
    private final String name;
    private final Iommu engine;
    private final VirtioIommuDevice device;
    private final OfferedDevice offered;
    private final Served server;
    private final SessionTasks tasks;
    private final List<EndpointDevice> devices = new ArrayList<>();
    private final List<Endpoint> present = new ArrayList<>();
    private final List<IommuObserver> watchers = new ArrayList<>();

    IommuUnit(
            String name,
            Iommu engine,
            VirtioIommuDevice device,
            OfferedDevice offered,
            Served server,
            SessionTasks tasks) {
        this.name = name;
        this.engine = engine;
        this.device = device;
        this.offered = offered;
        this.server = server;
        this.tasks = tasks;
    }

    public String name() {
        return name;
    }

    public Iommu engine() {
        return engine;
    }

    public VirtioIommuDevice device() {
        return device;
    }

    /** The device as its transport offers it. */
    public OfferedDevice offered() {
        return offered;
    }

    public Served server() {
        return server;
    }

    /** What is behind it, in the order of adding. */
    public List<EndpointDevice> devices() {
        return List.copyOf(devices);
    }

    /**
     * Endpoints that the driver may ask for and attach, and whose accesses do not come through us:
     * functions of the VMM's, aliases of bridges.
     */
    public List<Endpoint> present() {
        return List.copyOf(present);
    }

    /** Plants a failure. Loop thread, or before the machine starts. */
    public void inject(Injection injection) {
        device.inject(injection, (task, nanos) -> tasks.schedule(nanos, task));
    }

    /**
     * Lets {@code watcher} see what passes between the driver and the IOMMU, beside those that do
     * already. Loop thread, or before the machine starts.
     */
    public void watch(IommuObserver watcher) {
        watchers.add(watcher);
        device.observe(new Watchers(watchers));
    }

    /** Ends what {@link #watch} began. Loop thread. */
    public void unwatch(IommuObserver watcher) {
        watchers.remove(watcher);
        device.observe(watchers.isEmpty() ? null : new Watchers(watchers));
    }

    void addPresent(Endpoint endpoint) {
        present.add(endpoint);
    }

    void add(EndpointDevice behind) {
        devices.add(behind);
    }
}
