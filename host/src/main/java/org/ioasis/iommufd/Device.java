// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static org.ioasis.iommufd.HwDevice.NO_PASID;

import org.jspecify.annotations.Nullable;

/**
 * A device that is bound to a context. Its driver is a user of it until it unbinds, so that a
 * program cannot destroy it. Under its context's lock.
 */
public final class Device extends IommufdObject {
    private final HwDevice hardware;
    private final DeviceGroup group;
    private final PageRequests requests = new PageRequests(this);
    private @Nullable Vdevice vdevice;

    private Device(IommufdContext context, HwDevice hardware, DeviceGroup group) {
        super(context);
        this.hardware = hardware;
        this.group = group;
    }

    /** Binds a device, live at once: what the caller fails at later ends with {@link #unbind}. */
    static Device bind(IommufdContext context, HwDevice hardware) throws IommufdException {
        if (!hardware.isCoherent()) {
            throw new IommufdException(
                    Errno.EINVAL, "the device's DMA is not coherent with caches");
        }
        context.allocate();
        if (!hardware.group().claim(context)) {
            throw new IommufdException(
                    Errno.EBUSY, "a device of the same group belongs to another context");
        }
        Device device = new Device(context, hardware, context.group(hardware.group()));
        device.group.members++;
        context.reserve(device);
        device.addUser();
        context.finish(device);
        if (!hardware.endsWithContext()) {
            context.addReference();
        }
        return device;
    }

    /** The device itself. */
    public HwDevice hardware() {
        return hardware;
    }

    DeviceGroup group() {
        return group;
    }

    /** The name that a guest has for it; null: none. */
    public @Nullable Vdevice vdevice() {
        return vdevice;
    }

    void vdevice(@Nullable Vdevice known) {
        vdevice = known;
    }

    /** Page requests that it makes. */
    public PageRequests requests() {
        return requests;
    }

    /** What it is attached to, without PASID or with one. */
    public @Nullable Hwpt attached(int pasid) {
        DeviceGroup.Attachment found = group.attachments.get(pasid);
        return found != null && found.devices.contains(this) ? found.hwpt : null;
    }

    /**
     * Attaches it to an address space or a page table.
     *
     * @return the id of the page table
     */
    public int attach(int ptId, int pasid) throws IommufdException {
        synchronized (context()) {
            return choose(ptId, pasid, hwpt -> attach(hwpt, pasid)).id();
        }
    }

    /**
     * Attaches it to something else, at no moment to nothing.
     *
     * @return the id of the page table
     */
    public int replace(int ptId, int pasid) throws IommufdException {
        synchronized (context()) {
            return choose(ptId, pasid, hwpt -> replace(hwpt, pasid)).id();
        }
    }

    /** Its DMA is blocked; a PASID that is not attached is no mistake. */
    public void detach(int pasid) {
        synchronized (context()) {
            DeviceGroup.Attachment attachment = group.attachments.get(pasid);
            if (attachment == null || !attachment.devices.remove(this)) {
                return;
            }
            Hwpt hwpt = attachment.hwpt;
            if (attachment.devices.isEmpty()) {
                hardware.block(pasid);
                group.attachments.remove(pasid);
            }
            requests.forget(pasid);
            forgetFaults(hwpt, pasid);
            if (pasid == NO_PASID) {
                hwpt.paging().ioas().space().usable().unreserve(this);
            }
            put(hwpt);
        }
    }

    private interface Step {
        void with(Hwpt hwpt) throws IommufdException;
    }

    private Hwpt choose(int ptId, int pasid, Step step) throws IommufdException {
        IommufdObject object = context().find(ptId);
        return switch (object) {
            case Hwpt hwpt -> {
                step.with(hwpt);
                yield hwpt;
            }
            case Ioas ioas -> automatic(ioas, pasid, step);
            default ->
                    throw new IommufdException(
                            Errno.EINVAL, "object %d is nothing to attach to".formatted(ptId));
        };
    }

    /** The first page table that was made this way and fits, or a new one. */
    private Hwpt automatic(Ioas ioas, int pasid, Step step) throws IommufdException {
        for (PagingHwpt hwpt : ioas.hwpts()) {
            if (!hwpt.isAutomatic()) {
                continue;
            }
            try {
                step.with(hwpt);
                return hwpt;
            } catch (IommufdException e) {
                if (e.errno() != Errno.EINVAL) {
                    throw e;
                }
            }
        }
        if (pasid != NO_PASID) {
            throw new IommufdException(
                    Errno.EINVAL, "a PASID needs a page table that was made for it");
        }
        PagingHwpt fresh = PagingHwpt.reserve(ioas, this, 0, true, null);
        boolean isAttached = false;
        try {
            // Attached while it is empty, so that nothing of the device is seen through the old
            // one while the new one is being filled.
            fresh.join();
            step.with(fresh);
            isAttached = true;
        } finally {
            if (!isAttached) {
                context().abort(fresh);
            }
        }
        context().finish(fresh);
        return fresh;
    }

    private void attach(Hwpt hwpt, int pasid) throws IommufdException {
        checkPasid(hwpt, pasid);
        context().allocate();
        DeviceGroup.Attachment attachment = group.attachments.get(pasid);
        if (attachment != null) {
            if (attachment.devices.contains(this)) {
                throw new IommufdException(Errno.EBUSY, "the device is attached already");
            }
            if (attachment.hwpt != hwpt) {
                throw new IommufdException(
                        Errno.EINVAL, "a device of the same group is attached to another table");
            }
        }
        if (pasid == NO_PASID) {
            reserve(hwpt.paging().ioas());
        }
        if (attachment == null) {
            try {
                context().allocate();
                attachHardware(hwpt, pasid);
            } catch (IommufdException e) {
                if (pasid == NO_PASID) {
                    hwpt.paging().ioas().space().usable().unreserve(this);
                }
                throw e;
            }
            attachment = new DeviceGroup.Attachment(hwpt);
            group.attachments.put(pasid, attachment);
        }
        attachment.devices.add(this);
        hwpt.addUser();
    }

    private void replace(Hwpt hwpt, int pasid) throws IommufdException {
        checkPasid(hwpt, pasid);
        DeviceGroup.Attachment attachment = group.attachments.get(pasid);
        if (attachment == null || !attachment.devices.contains(this)) {
            throw new IommufdException(
                    Errno.EINVAL, "only what is attached can be attached to something else");
        }
        Hwpt old = attachment.hwpt;
        if (old == hwpt) {
            return;
        }
        context().allocate();
        Ioas from = old.paging().ioas();
        Ioas to = hwpt.paging().ioas();
        boolean moves = pasid == NO_PASID && from != to;
        int reserved = 0;
        Device[] devices = attachment.devices.toArray(new Device[0]);
        try {
            for (; moves && reserved < devices.length; reserved++) {
                devices[reserved].reserve(to);
            }
            context().allocate();
            attachHardware(hwpt, pasid);
        } catch (IommufdException e) {
            for (int i = 0; i < reserved; i++) {
                to.space().usable().unreserve(devices[i]);
            }
            throw e;
        }
        attachment.hwpt = hwpt;
        for (Device device : devices) {
            if (moves) {
                from.space().usable().unreserve(device);
            }
            hwpt.addUser();
            device.forgetFaults(old, pasid);
            put(old);
        }
    }

    private void attachHardware(Hwpt hwpt, int pasid) throws IommufdException {
        if (pasid != NO_PASID && pasid >>> hardware.pasidBits() != 0) {
            throw new IommufdException(
                    Errno.EINVAL, "PASID %d is wider than the device's".formatted(pasid));
        }
        hardware.attach(hwpt.domain(), pasid);
    }

    private void checkPasid(Hwpt hwpt, int pasid) throws IommufdException {
        DeviceGroup.Attachment whole = group.attachments.get(NO_PASID);
        boolean hasPasids = group.attachments.size() > (whole == null ? 0 : 1);
        if (pasid == NO_PASID) {
            if (hasPasids && !hwpt.isPasidCompatible()) {
                throw new IommufdException(
                        Errno.EINVAL, "the device has PASIDs, and the table was not made for them");
            }
        } else if (!hwpt.isPasidCompatible()
                || (whole != null && !whole.hwpt.isPasidCompatible())) {
            throw new IommufdException(
                    Errno.EINVAL,
                    "a PASID's table, and what the device itself is attached to, must be made for"
                            + " PASIDs");
        }
        PagingHwpt paging = hwpt.paging();
        if (paging.enforcesCoherency() && !hardware.enforcesCoherency()) {
            throw new IommufdException(
                    Errno.EINVAL, "the table enforces coherency, and the device's IOMMU cannot");
        }
    }

    private void reserve(Ioas ioas) throws IommufdException {
        try {
            for (IovaRange range : hardware.reserved()) {
                ioas.space().reserve(range.first(), range.last(), this);
            }
        } catch (IommufdException e) {
            ioas.space().usable().unreserve(this);
            throw e;
        }
    }

    private void forgetFaults(Hwpt hwpt, int pasid) {
        FaultQueue faults = hwpt.faults();
        if (faults != null) {
            faults.forget(this, pasid);
        }
    }

    private void put(Hwpt hwpt) {
        hwpt.removeUser();
        if (hwpt instanceof PagingHwpt paging && paging.isAutomatic() && hwpt.users() == 1) {
            context().destroy(hwpt);
        }
    }

    /**
     * Its driver lets it go; the last one that does so after the context was released ends it.
     *
     * @throws IllegalStateException it is attached
     */
    public void unbind() {
        synchronized (context()) {
            if (state() == State.DEAD) {
                return;
            }
            group.attachments.forEach(attachment -> {
                if (attachment.devices.contains(this)) {
                    throw new IllegalStateException("device " + id() + " is attached");
                }
            });
            removeUser();
            context().destroy(this);
            if (!hardware.endsWithContext()) {
                context().removeReference();
            }
        }
    }

    @Override
    void preDestroy() {
        if (vdevice != null) {
            context().bury(vdevice);
        }
    }

    @Override
    void destroy() {
        requests.forgetAll();
        if (--group.members == 0) {
            context().forget(hardware.group());
        }
        hardware.group().release();
    }
}
