// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.ioasis.memory.Count;
import org.ioasis.memory.Dma;
import org.ioasis.spec.Pci;
import org.ioasis.spec.VirtioPci;
import org.ioasis.virtio.DeviceType;
import org.ioasis.virtio.Interrupts;
import org.ioasis.virtio.OfferedDevice;
import org.ioasis.virtio.VirtioDevice;

/**
 * A virtio device as a modern PCI function (virtio 1.4, 4.1): BAR 1 holds the MSI-X table, BAR 2
 * the common, ISR, device and notification structures, a page each. No I/O BAR, no legacy
 * interface, no INTx pin. Loop thread only.
 *
 * <p>Without COMMAND.MASTER the device touches no memory and sends no interrupt (PCI 3.0, 6.2.2):
 * it is suspended, and its vectors are pending.
 */
public final class VirtioPciFunction implements PciFunction, Interrupts, OfferedDevice {
    private static final int MSIX_BAR = 1;
    private static final int VIRTIO_BAR = 2;
    private static final int MSIX_BAR_SIZE = 0x1000;
    private static final int VIRTIO_BAR_SIZE = 0x4000;
    private static final int STRUCTURE_SIZE = 0x1000;
    private static final int COMMON = 0x0000;
    private static final int ISR = 0x1000;
    private static final int DEVICE = 0x2000;
    private static final int NOTIFY = 0x3000;
    private static final int NOTIFY_MULTIPLIER = 4;

    // Fields of the common structure, as an offset and a width in one number (see #field).
    private static final int FEATURE_SELECT = VirtioPci.COMMON_DEVICE_FEATURE_SELECT << 4 | 4;
    private static final int FEATURE = VirtioPci.COMMON_DEVICE_FEATURE << 4 | 4;
    private static final int DRIVER_SELECT = VirtioPci.COMMON_DRIVER_FEATURE_SELECT << 4 | 4;
    private static final int DRIVER_FEATURE = VirtioPci.COMMON_DRIVER_FEATURE << 4 | 4;
    private static final int CONFIG_VECTOR = VirtioPci.COMMON_CONFIG_MSIX_VECTOR << 4 | 2;
    private static final int NUM_QUEUES = VirtioPci.COMMON_NUM_QUEUES << 4 | 2;
    private static final int STATUS = VirtioPci.COMMON_DEVICE_STATUS << 4 | 1;
    private static final int GENERATION = VirtioPci.COMMON_CONFIG_GENERATION << 4 | 1;
    private static final int QUEUE_SELECT = VirtioPci.COMMON_QUEUE_SELECT << 4 | 2;
    private static final int QUEUE_SIZE = VirtioPci.COMMON_QUEUE_SIZE << 4 | 2;
    private static final int QUEUE_VECTOR = VirtioPci.COMMON_QUEUE_MSIX_VECTOR << 4 | 2;
    private static final int QUEUE_ENABLE = VirtioPci.COMMON_QUEUE_ENABLE << 4 | 2;
    private static final int QUEUE_NOTIFY_OFF = VirtioPci.COMMON_QUEUE_NOTIFY_OFF << 4 | 2;
    private static final int DESC_LOW = VirtioPci.COMMON_QUEUE_DESC << 4 | 4;
    private static final int DESC_HIGH = (VirtioPci.COMMON_QUEUE_DESC + 4) << 4 | 4;
    private static final int DRIVER_LOW = VirtioPci.COMMON_QUEUE_DRIVER << 4 | 4;
    private static final int DRIVER_HIGH = (VirtioPci.COMMON_QUEUE_DRIVER + 4) << 4 | 4;
    private static final int DEVICE_LOW = VirtioPci.COMMON_QUEUE_DEVICE << 4 | 4;
    private static final int DEVICE_HIGH = (VirtioPci.COMMON_QUEUE_DEVICE + 4) << 4 | 4;
    private static final int QUEUE_RESET = VirtioPci.COMMON_QUEUE_RESET << 4 | 2;

    private static final int MSIX_CAP = Pci.HEADER_END;
    private static final int COMMON_CAP = MSIX_CAP + Pci.MSIX_CAP_SIZE;
    private static final int ISR_CAP = COMMON_CAP + VirtioPci.CAP_SIZE;
    private static final int DEVICE_CAP = ISR_CAP + VirtioPci.CAP_SIZE;
    private static final int NOTIFY_CAP = DEVICE_CAP + VirtioPci.CAP_SIZE;
    private static final int CFG_CAP = NOTIFY_CAP + VirtioPci.NOTIFY_CAP_SIZE;
    private static final int CFG_DATA = CFG_CAP + VirtioPci.CFG_CAP_DATA;

    private final ConfigSpace config = new ConfigSpace();
    private final VirtioDevice device;
    private final int configSize;
    private final MsixTable msix;
    private final int[] queueVectors;
    private int configVector;
    private int deviceFeatureSelect;
    private int driverFeatureSelect;
    private int queueSelect;
    private int isr;
    private BooleanSupplier watcher = () -> false;
    private Runnable guestActs = () -> {};
    private Runnable isReset = () -> {};
    private final Count kicks = new Count();
    private final Count interrupts = new Count();

    /**
     * @param ringDma how the device reaches its rings and buffers
     * @param frameFeatures feature bits of the virtio frame to offer, beside the type's own
     * @param classCode base class, sub-class and programming interface, 24 bits
     */
    public VirtioPciFunction(DeviceType type, Dma ringDma, long frameFeatures, int classCode) {
        int queues = type.queueCount();
        if (queues < 1 || queues + 1 > MsixTable.VECTORS_MAX) {
            throw new IllegalArgumentException("a function cannot have " + queues + " queues");
        }
        if (type.configSize() > STRUCTURE_SIZE) {
            throw new IllegalArgumentException(
                    "device configuration of " + type.configSize() + " bytes");
        }
        this.configSize = type.configSize();
        this.msix = new MsixTable(queues + 1);
        this.queueVectors = new int[queues];
        defineConfigSpace(type.id(), classCode);
        forgetDriver();
        this.device = new VirtioDevice(type, ringDma, frameFeatures, this);
        device.suspend();
    }

    @Override
    public void reports(Consumer<String> sink) {
        device.onBroken(why -> sink.accept("the device needs a reset: " + why));
    }

    @Override
    public void signs(Runnable whenGuestActs, Runnable whenReset) {
        guestActs = whenGuestActs;
        isReset = whenReset;
    }

    @Override
    public VirtioDevice device() {
        return device;
    }

    private void defineConfigSpace(int typeId, int classCode) {
        config.define(Pci.VENDOR_ID, 2, VirtioPci.VENDOR_ID);
        config.define(Pci.DEVICE_ID, 2, VirtioPci.DEVICE_ID_BASE + typeId);
        config.define(Pci.STATUS, 2, Pci.STATUS_CAP_LIST);
        // virtio 1.4, 4.1.2.1: revision 1 or higher and subsystem 0x40 or higher keep legacy
        // drivers away.
        config.define(Pci.REVISION_ID, 1, 1);
        config.define(Pci.CLASS_PROG, 3, classCode);
        config.define(Pci.SUBSYSTEM_VENDOR_ID, 2, VirtioPci.VENDOR_ID);
        config.define(Pci.SUBSYSTEM_ID, 2, VirtioPci.DEVICE_ID_BASE + typeId);
        config.define(Pci.CAPABILITY_LIST, 1, MSIX_CAP);
        config.allow(
                Pci.COMMAND,
                2,
                Pci.COMMAND_MEMORY
                        | Pci.COMMAND_MASTER
                        | Pci.COMMAND_PARITY
                        | Pci.COMMAND_SERR
                        | Pci.COMMAND_INTX_DISABLE);
        config.allow(Pci.CACHE_LINE_SIZE, 1, 0xff);
        config.allow(Pci.INTERRUPT_LINE, 1, 0xff);
        config.defineBar(MSIX_BAR, MSIX_BAR_SIZE);
        config.defineBar(VIRTIO_BAR, VIRTIO_BAR_SIZE);

        config.define(MSIX_CAP + Pci.CAP_LIST_ID, 1, Pci.CAP_ID_MSIX);
        config.define(MSIX_CAP + Pci.CAP_LIST_NEXT, 1, COMMON_CAP);
        config.define(MSIX_CAP + Pci.MSIX_FLAGS, 2, msix.vectorCount() - 1);
        config.allow(MSIX_CAP + Pci.MSIX_FLAGS, 2, Pci.MSIX_FLAGS_ENABLE | Pci.MSIX_FLAGS_MASKALL);
        config.define(MSIX_CAP + Pci.MSIX_TABLE, 4, MSIX_BAR);
        config.define(MSIX_CAP + Pci.MSIX_PBA, 4, MsixTable.PENDING_OFFSET | MSIX_BAR);

        capability(
                COMMON_CAP,
                ISR_CAP,
                VirtioPci.CAP_SIZE,
                VirtioPci.VIRTIO_PCI_CAP_COMMON_CFG,
                COMMON,
                VirtioPci.COMMON_SIZE);
        // A type without configuration has no device structure (4.1.4.6): it is left out of the
        // list.
        capability(
                ISR_CAP,
                configSize > 0 ? DEVICE_CAP : NOTIFY_CAP,
                VirtioPci.CAP_SIZE,
                VirtioPci.VIRTIO_PCI_CAP_ISR_CFG,
                ISR,
                STRUCTURE_SIZE);
        capability(
                DEVICE_CAP,
                NOTIFY_CAP,
                VirtioPci.CAP_SIZE,
                VirtioPci.VIRTIO_PCI_CAP_DEVICE_CFG,
                DEVICE,
                STRUCTURE_SIZE);
        capability(
                NOTIFY_CAP,
                CFG_CAP,
                VirtioPci.NOTIFY_CAP_SIZE,
                VirtioPci.VIRTIO_PCI_CAP_NOTIFY_CFG,
                NOTIFY,
                STRUCTURE_SIZE);
        config.define(NOTIFY_CAP + VirtioPci.NOTIFY_CAP_MULTIPLIER, 4, NOTIFY_MULTIPLIER);

        // 4.1.4.9: the window through which a driver without BARs reaches them.
        capability(CFG_CAP, 0, VirtioPci.CFG_CAP_SIZE, VirtioPci.VIRTIO_PCI_CAP_PCI_CFG, 0, 0);
        config.define(CFG_CAP + VirtioPci.CAP_BAR, 1, 0);
        config.allow(CFG_CAP + VirtioPci.CAP_BAR, 1, 0xff);
        config.allow(CFG_CAP + VirtioPci.CAP_OFFSET, 4, -1);
        config.allow(CFG_CAP + VirtioPci.CAP_LENGTH, 4, -1);
        config.allow(CFG_DATA, 4, -1);
    }

    private void capability(int at, int next, int size, int type, int offset, int length) {
        config.define(at + Pci.CAP_LIST_ID, 1, Pci.CAP_ID_VNDR);
        config.define(at + Pci.CAP_LIST_NEXT, 1, next);
        config.define(at + VirtioPci.CAP_LEN, 1, size);
        config.define(at + VirtioPci.CAP_CFG_TYPE, 1, type);
        config.define(at + VirtioPci.CAP_BAR, 1, VIRTIO_BAR);
        config.define(at + VirtioPci.CAP_OFFSET, 4, offset);
        config.define(at + VirtioPci.CAP_LENGTH, 4, length);
    }

    // Doorbells.

    @Override
    public List<Doorbell> doorbells() {
        List<Doorbell> all = new ArrayList<>();
        for (int q = 0; q < queueVectors.length; q++) {
            // What a driver writes that has not accepted NOTIFICATION_DATA (4.1.5.2).
            all.add(new Doorbell(VIRTIO_BAR, NOTIFY + (long) NOTIFY_MULTIPLIER * q, 2, q));
        }
        return all;
    }

    @Override
    public void rung(int doorbell) {
        kick(doorbell);
    }

    // Configuration space.

    @Override
    public int configRead(int offset, int size) {
        if (overlaps(offset, size, CFG_DATA, 4)) {
            readThroughWindow();
        }
        int value = config.read(offset, size);
        // 4.1.4.5.1: without MSI-X the status register shows the logical OR of the ISR bits.
        if (isr != 0 && !isMsixEnabled() && overlaps(offset, size, Pci.STATUS, 1)) {
            value |= Pci.STATUS_INTERRUPT << (8 * (Pci.STATUS - offset));
        }
        return value;
    }

    @Override
    public void configWrite(int offset, int size, int value) {
        config.write(offset, size, value);
        if (overlaps(offset, size, CFG_DATA, 4)) {
            writeThroughWindow();
        }
        if (overlaps(offset, size, Pci.COMMAND, 2)) {
            followCommand();
        }
        if (overlaps(offset, size, MSIX_CAP + Pci.MSIX_FLAGS, 2)) {
            followMsixFlags();
        }
    }

    private void followCommand() {
        boolean isMaster = (config.read(Pci.COMMAND, 2) & Pci.COMMAND_MASTER) != 0;
        msix.permit(isMaster);
        if (isMaster) {
            device.resume();
        } else {
            device.suspend();
        }
    }

    private void followMsixFlags() {
        int flags = config.read(MSIX_CAP + Pci.MSIX_FLAGS, 2);
        if ((flags & Pci.MSIX_FLAGS_ENABLE) == 0) {
            msix.forgetPending();
        }
        msix.maskFunction((flags & Pci.MSIX_FLAGS_MASKALL) != 0);
    }

    private static boolean overlaps(int offset, int size, int fieldOffset, int fieldSize) {
        return offset < fieldOffset + fieldSize && fieldOffset < offset + size;
    }

    private void readThroughWindow() {
        int length = config.read(CFG_CAP + VirtioPci.CAP_LENGTH, 4);
        if (windowIsValid(length)) {
            int bar = config.read(CFG_CAP + VirtioPci.CAP_BAR, 1);
            int offset = config.read(CFG_CAP + VirtioPci.CAP_OFFSET, 4);
            config.write(CFG_DATA, length, (int) barRead(bar, offset, length));
        }
    }

    private void writeThroughWindow() {
        int length = config.read(CFG_CAP + VirtioPci.CAP_LENGTH, 4);
        if (windowIsValid(length)) {
            int bar = config.read(CFG_CAP + VirtioPci.CAP_BAR, 1);
            int offset = config.read(CFG_CAP + VirtioPci.CAP_OFFSET, 4);
            long value = config.read(CFG_DATA, length) & 0xffff_ffffL;
            barWrite(bar, offset, length, value);
        }
    }

    /** 4.1.4.9.2 says what a driver may do; the rest has no effect. */
    private boolean windowIsValid(int length) {
        long bar = config.read(CFG_CAP + VirtioPci.CAP_BAR, 1);
        long offset = config.read(CFG_CAP + VirtioPci.CAP_OFFSET, 4) & 0xffff_ffffL;
        return (length == 1 || length == 2 || length == 4)
                && bar == VIRTIO_BAR
                && offset % length == 0
                && offset <= VIRTIO_BAR_SIZE - length;
    }

    private boolean isMsixEnabled() {
        return (config.read(MSIX_CAP + Pci.MSIX_FLAGS, 2) & Pci.MSIX_FLAGS_ENABLE) != 0;
    }

    // BARs.

    @Override
    public long barSize(int bar) {
        return switch (bar) {
            case MSIX_BAR -> MSIX_BAR_SIZE;
            case VIRTIO_BAR -> VIRTIO_BAR_SIZE;
            default -> 0;
        };
    }

    @Override
    public long barRead(int bar, long offset, int size) {
        guestActs.run();
        if (offset % size != 0) {
            return 0;
        }
        if (bar == MSIX_BAR) {
            return msix.read((int) offset, size);
        }
        if (bar != VIRTIO_BAR) {
            return 0;
        }
        int at = (int) offset % STRUCTURE_SIZE;
        return switch ((int) offset - at) {
            case COMMON -> readCommonAnySize(at, size);
            case ISR -> at == 0 ? readIsr() : 0;
            case DEVICE -> at + size <= configSize ? device.readConfig(at, size) : 0;
            default -> 0;
        };
    }

    @Override
    public void barWrite(int bar, long offset, int size, long value) {
        if (offset % size != 0) {
            return;
        }
        if (bar == MSIX_BAR) {
            msix.write((int) offset, size, value);
        }
        if (bar != VIRTIO_BAR) {
            return;
        }
        int at = (int) offset % STRUCTURE_SIZE;
        switch ((int) offset - at) {
            case COMMON -> writeCommonAnySize(at, size, value);
            case DEVICE -> {
                if (at + size <= configSize) {
                    device.writeConfig(at, size, value);
                }
            }
            case NOTIFY -> kick((int) value & 0xffff);
            default -> {}
        }
    }

    /** 4.1.5.2: the driver writes the queue's index; which address it wrote to says the same. */
    private void kick(int queue) {
        if (queue < queueVectors.length) {
            kicks.increment();
            if (watcher.getAsBoolean()) {
                device.watch().begin(queue);
            }
            device.kick(queue);
        }
    }

    private int readIsr() {
        int value = isr;
        isr = 0;
        return value;
    }

    /** 4.1.3: a 64-bit field is two 32-bit fields, low half first. */
    private long readCommonAnySize(int at, int size) {
        if (size == 8) {
            return readCommon(at, 4) | readCommon(at + 4, 4) << 32;
        }
        return readCommon(at, size);
    }

    private void writeCommonAnySize(int at, int size, long value) {
        if (size == 8) {
            writeCommon(at, 4, value & 0xffff_ffffL);
            writeCommon(at + 4, 4, value >>> 32);
        } else {
            writeCommon(at, size, value);
        }
    }

    /** What the constants above are compared with. */
    private static int field(int at, int size) {
        return at << 4 | size;
    }

    /** A field answers to its own width only (4.1.3.1); everything else reads as 0. */
    private long readCommon(int at, int size) {
        return switch (field(at, size)) {
            case FEATURE_SELECT -> deviceFeatureSelect & 0xffff_ffffL;
            case FEATURE -> window(device.deviceFeatures(), deviceFeatureSelect);
            case DRIVER_SELECT -> driverFeatureSelect & 0xffff_ffffL;
            case DRIVER_FEATURE -> window(device.driverFeatures(), driverFeatureSelect);
            case CONFIG_VECTOR -> configVector;
            case NUM_QUEUES -> queueVectors.length;
            case STATUS -> device.status();
            case GENERATION -> device.configGeneration();
            case QUEUE_SELECT -> queueSelect;
            default -> queueSelect < queueVectors.length ? readQueue(queueSelect, at, size) : 0;
        };
    }

    private long readQueue(int queue, int at, int size) {
        return switch (field(at, size)) {
            case QUEUE_SIZE -> device.queueSize(queue);
            case QUEUE_VECTOR -> queueVectors[queue];
            case QUEUE_ENABLE -> device.queueEnabled(queue) ? 1 : 0;
            case QUEUE_NOTIFY_OFF -> queue;
            case DESC_LOW -> window(device.queueDesc(queue), 0);
            case DESC_HIGH -> window(device.queueDesc(queue), 1);
            case DRIVER_LOW -> window(device.queueDriver(queue), 0);
            case DRIVER_HIGH -> window(device.queueDriver(queue), 1);
            case DEVICE_LOW -> window(device.queueDevice(queue), 0);
            case DEVICE_HIGH -> window(device.queueDevice(queue), 1);
            default -> 0;
        };
    }

    private void writeCommon(int at, int size, long value) {
        switch (field(at, size)) {
            case FEATURE_SELECT -> deviceFeatureSelect = (int) value;
            case DRIVER_SELECT -> driverFeatureSelect = (int) value;
            case DRIVER_FEATURE -> {
                if (driverFeatureSelect == 0 || driverFeatureSelect == 1) {
                    device.writeDriverFeatures(
                            withWindow(device.driverFeatures(), driverFeatureSelect, value));
                }
            }
            case CONFIG_VECTOR -> configVector = validVector((int) value & 0xffff);
            case STATUS -> writeStatus((int) value & 0xff);
            case QUEUE_SELECT -> queueSelect = (int) value & 0xffff;
            default -> {
                if (queueSelect < queueVectors.length) {
                    writeQueue(queueSelect, at, size, value);
                }
            }
        }
    }

    private void writeQueue(int queue, int at, int size, long value) {
        switch (field(at, size)) {
            case QUEUE_SIZE -> device.writeQueueSize(queue, (int) value & 0xffff);
            case QUEUE_VECTOR -> queueVectors[queue] = validVector((int) value & 0xffff);
            case QUEUE_ENABLE -> {
                // 4.1.4.3.2: a driver must not write 0; nothing happens if it does.
                if (value == 1) {
                    device.enableQueue(queue);
                }
            }
            case QUEUE_RESET -> {
                // Done when the write is, so the field always reads as 0 (4.1.4.3.1).
                if (value == 1) {
                    device.resetQueue(queue);
                }
            }
            case DESC_LOW ->
                    device.writeQueueDesc(queue, withWindow(device.queueDesc(queue), 0, value));
            case DESC_HIGH ->
                    device.writeQueueDesc(queue, withWindow(device.queueDesc(queue), 1, value));
            case DRIVER_LOW ->
                    device.writeQueueDriver(queue, withWindow(device.queueDriver(queue), 0, value));
            case DRIVER_HIGH ->
                    device.writeQueueDriver(queue, withWindow(device.queueDriver(queue), 1, value));
            case DEVICE_LOW ->
                    device.writeQueueDevice(queue, withWindow(device.queueDevice(queue), 0, value));
            case DEVICE_HIGH ->
                    device.writeQueueDevice(queue, withWindow(device.queueDevice(queue), 1, value));
            default -> {}
        }
    }

    private void writeStatus(int value) {
        device.writeStatus(value);
        if (value == 0) {
            forgetDriver();
        }
    }

    /** The select registers, vectors (4.1.5.1.2.1) and ISR after a reset. */
    private void forgetDriver() {
        deviceFeatureSelect = 0;
        driverFeatureSelect = 0;
        queueSelect = 0;
        isr = 0;
        msix.forgetPending();
        configVector = VirtioPci.VIRTIO_MSI_NO_VECTOR;
        Arrays.fill(queueVectors, VirtioPci.VIRTIO_MSI_NO_VECTOR);
    }

    /** 4.1.5.1.2.1: a mapping that fails is reported by reading NO_VECTOR. */
    private int validVector(int vector) {
        return vector < msix.vectorCount() ? vector : VirtioPci.VIRTIO_MSI_NO_VECTOR;
    }

    private static long window(long value, int select) {
        return switch (select) {
            case 0 -> value & 0xffff_ffffL;
            case 1 -> value >>> 32;
            default -> 0;
        };
    }

    private static long withWindow(long value, int select, long half) {
        long low = half & 0xffff_ffffL;
        return select == 0
                ? (value & 0xffff_ffff_0000_0000L) | low
                : (value & 0xffff_ffffL) | (low << 32);
    }

    // Interrupts.

    @Override
    public int vectorCount() {
        return msix.vectorCount();
    }

    @Override
    public void vectors(VectorSink sink) {
        msix.sendTo(sink);
    }

    @Override
    public void vectorsChanged() {
        msix.sendPending();
    }

    @Override
    public void queue(int queue) {
        if (!isMsixEnabled()) {
            isr |= VirtioPci.ISR_QUEUE;
        }
        trigger(queueVectors[queue]);
    }

    @Override
    public void config() {
        // 4.1.4.5.1: this bit is set whether MSI-X is enabled or not.
        isr |= VirtioPci.ISR_CONFIG;
        trigger(configVector);
    }

    private void trigger(int vector) {
        // Not held to the enable bit: who sets a vector up has enabled it, perhaps without a write
        // that we see.
        if (vector != VirtioPci.VIRTIO_MSI_NO_VECTOR) {
            interrupts.increment();
            msix.raise(vector);
        }
    }

    @Override
    public long kicks() {
        return kicks.read();
    }

    @Override
    public long interrupts() {
        return interrupts.read();
    }

    // Life.

    @Override
    public void reset() {
        isReset.run();
        device.systemReset();
        config.reset();
        followCommand();
        msix.reset();
        forgetDriver();
    }

    @Override
    public void watcher(BooleanSupplier newWatcher) {
        watcher = newWatcher;
    }

    @Override
    public boolean look() {
        return device.watch().look();
    }

    @Override
    public boolean rest() {
        return device.watch().rest();
    }

    @Override
    public void whenSettled(Runnable task) {
        device.whenSettled(task);
    }

    @Override
    public void memoryChanged() {
        device.memoryChanged();
    }

    @Override
    public boolean needsTick() {
        return device.needsTick();
    }

    @Override
    public void tick(long nowNanos) {
        device.tick(nowNanos);
    }
}
