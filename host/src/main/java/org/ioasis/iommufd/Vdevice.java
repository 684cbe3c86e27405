// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/**
 * A device as a guest knows it. Ends with its device at the latest, and then nothing else gets its
 * id. Under its context's lock.
 */
public final class Vdevice extends IommufdObject {
    private final Viommu viommu;
    private final Device device;
    private final long virtualId;
    private boolean isKnown;

    private Vdevice(Viommu viommu, Device device, long virtualId) {
        super(viommu.context());
        this.viommu = viommu;
        this.device = device;
        this.virtualId = virtualId;
        viommu.addUser();
        device.vdevice(this);
    }

    /** Makes one, reserved. */
    static Vdevice reserve(Viommu viommu, Device device, long virtualId) throws IommufdException {
        if (!viommu.iommu().equals(device.hardware().iommu())) {
            throw new IommufdException(Errno.EINVAL, "the device is behind another IOMMU");
        }
        if (device.vdevice() != null) {
            throw new IommufdException(Errno.EEXIST, "a guest has a name for the device already");
        }
        IommufdContext context = viommu.context();
        context.allocate();
        Vdevice vdevice = new Vdevice(viommu, device, virtualId);
        context.reserve(vdevice);
        boolean isBuilt = false;
        try {
            context.allocate();
            viommu.add(vdevice);
            viommu.driver().added(vdevice);
            vdevice.isKnown = true;
            isBuilt = true;
            return vdevice;
        } finally {
            if (!isBuilt) {
                context.abort(vdevice);
            }
        }
    }

    public Device device() {
        return device;
    }

    public Viommu viommu() {
        return viommu;
    }

    /** What the guest calls it. */
    public long virtualId() {
        return virtualId;
    }

    @Override
    void destroy() {
        if (isKnown) {
            viommu.driver().removed(this);
        }
        viommu.remove(this);
        device.vdevice(null);
        viommu.removeUser();
    }
}
