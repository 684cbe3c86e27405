// SPDX-License-Identifier: Apache-2.0
package org.ioasis.smmuv3;

import static org.ioasis.spec.IommufdNesting.HWPT_DATA_SMMUV3;
import static org.ioasis.spec.IommufdNesting.INVALIDATE_SMMUV3;
import static org.ioasis.spec.IommufdNesting.SMMUV3_SIZE;
import static org.ioasis.spec.IommufdNesting.SMMUV3_STE;
import static org.ioasis.spec.IommufdNesting.VEVENTQ_SMMUV3;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HashMap;
import java.util.Map;
import org.ioasis.iommufd.DeviceCaches;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.Invalidator;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.NestedDomain;
import org.ioasis.iommufd.UserData;
import org.ioasis.iommufd.Vdevice;
import org.ioasis.iommufd.Veventq;
import org.ioasis.iommufd.Viommu;
import org.ioasis.iommufd.ViommuDriver;
import org.ioasis.iommufd.engine.EngineDevice;
import org.ioasis.iommufd.engine.EngineDomain;
import org.ioasis.iommufd.engine.EngineIommu;
import org.ioasis.iommufd.nesting.GuestEntries;
import org.ioasis.iommufd.nesting.VirtioInvalidations;
import org.ioasis.iommufd.nesting.VirtioInvalidations.Naming;
import org.ioasis.spec.Smmuv3Command;
import org.jspecify.annotations.Nullable;

/**
 * The slice of an SMMUv3 that one machine has: its VMID, and how its guest calls streams. Under its
 * context's lock.
 */
class Smmuv3Viommu implements ViommuDriver {
    private final Smmuv3Iommu smmu;
    private final EngineIommu iommu;
    private final Viommu viommu;
    private final EngineDomain parent;
    private final int vmid;
    private final DeviceCaches devices = new Devices();
    private final Smmuv3Commands commands;
    private final Invalidator entries;
    private final Map<Integer, Vdevice> names = new HashMap<>();

    Smmuv3Viommu(Smmuv3Iommu smmu, Viommu viommu, EngineDomain parent) throws IommufdException {
        this.smmu = smmu;
        this.iommu = smmu.iommu();
        this.viommu = viommu;
        this.parent = parent;
        vmid = iommu.newTag();
        parent.addTag(vmid);
        commands = new Smmuv3Commands(iommu.cached(), devices, this::stream, vmid);
        entries =
                new GuestEntries(
                        INVALIDATE_SMMUV3,
                        commands,
                        new VirtioInvalidations(new VirtioScopes(), Naming.ARCHID),
                        iommu.cached(),
                        iommu::invalidated);
    }

    final EngineIommu iommu() {
        return iommu;
    }

    final EngineDomain parent() {
        return parent;
    }

    final int vmid() {
        return vmid;
    }

    final Viommu viommu() {
        return viommu;
    }

    final Smmuv3Commands commands() {
        return commands;
    }

    private long stream(long virtual) {
        Vdevice vdevice = viommu.device(virtual);
        return vdevice != null && vdevice.device().hardware() instanceof EngineDevice device
                ? Integer.toUnsignedLong(device.number())
                : Smmuv3Commands.Streams.NONE;
    }

    private @Nullable EngineDevice device(int stream) {
        Vdevice vdevice = names.get(stream);
        return vdevice != null && vdevice.device().hardware() instanceof EngineDevice device
                ? device
                : null;
    }

    /** Whether the guest has a name for a device. */
    final boolean knows(EngineDevice device) {
        return names.containsKey(device.number());
    }

    @Override
    public NestedDomain nested(int flags, UserData data) throws IommufdException {
        if (flags != 0) {
            throw new IommufdException(
                    Errno.EOPNOTSUPP, "a stream table entry says itself what PASIDs have");
        }
        MemorySegment given = data.read(HWPT_DATA_SMMUV3, SMMUV3_SIZE, SMMUV3_SIZE);
        return Smmuv3Nested.of(
                this,
                given.get(ValueLayout.JAVA_LONG, SMMUV3_STE),
                given.get(ValueLayout.JAVA_LONG, SMMUV3_STE + Long.BYTES));
    }

    @Override
    public long invalidate(int type, MemorySegment array, long offset, int entryLength, int count) {
        return entries.invalidate(type, array, offset, entryLength, count);
    }

    @Override
    public void added(Vdevice vdevice) throws IommufdException {
        if (vdevice.device().hardware() instanceof EngineDevice device) {
            names.put(device.number(), vdevice);
            smmu.named(device, this);
        }
    }

    @Override
    public void removed(Vdevice vdevice) {
        if (vdevice.device().hardware() instanceof EngineDevice device) {
            names.remove(device.number());
            smmu.named(device, null);
        }
    }

    /**
     * The guest hears of what a device of its did: by the name that the guest has for it, if it has
     * one and a queue for such events.
     *
     * @param id of the event
     * @param substream {@link DeviceCaches#NO_SPACE}: none
     * @param word1 of the event
     * @param address that was asked for
     */
    final void event(EngineDevice device, int id, int substream, long word1, long address) {
        Vdevice vdevice = names.get(device.number());
        Veventq queue = viommu.events(VEVENTQ_SMMUV3);
        if (vdevice == null || queue == null) {
            return;
        }
        long word0 = id | vdevice.virtualId() << Smmuv3Command.SID_SHIFT;
        if (substream != DeviceCaches.NO_SPACE) {
            word0 |= Smmuv3Command.SSV | (long) substream << Smmuv3Command.SSID_SHIFT;
        }
        queue.report(
                ByteBuffer.allocate(Smmuv3Command.EVENT_SIZE)
                        .order(ByteOrder.LITTLE_ENDIAN)
                        .putLong(word0)
                        .putLong(word1)
                        .putLong(address)
                        .putLong(0)
                        .array());
    }

    @Override
    public void free() {
        parent.removeTag(vmid);
    }

    /** What commands about a stream do here, where devices keep nothing themselves. */
    private final class Devices implements DeviceCaches {
        @Override
        public void context(int stream, int substream) {
            EngineDevice device = device(stream);
            if (device != null) {
                device.reenter(substream);
            }
        }

        @Override
        public void contexts(int stream) {
            EngineDevice device = device(stream);
            if (device != null) {
                device.reenter();
            }
        }
    }

    /** What an INVALIDATE of virtio-iommu is in commands of an SMMUv3. */
    private final class VirtioScopes implements VirtioInvalidations.Scopes {
        @Override
        public void translations(int domain, int asid) {
            if (asid == DeviceCaches.NO_SPACE) {
                iommu.cached().firstStage(vmid);
            } else {
                iommu.cached().space(vmid, asid);
            }
        }

        @Override
        public void translations(int domain, int asid, long first, long last) {
            iommu.forget(vmid, asid, first, last);
        }

        @Override
        public void tables(int domain, int pasid) {
            for (int stream : names.keySet()) {
                if (pasid == DeviceCaches.NO_SPACE) {
                    devices.contexts(stream);
                } else {
                    devices.context(stream, pasid);
                }
            }
        }
    }
}
