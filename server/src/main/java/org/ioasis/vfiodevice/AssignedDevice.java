// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiodevice;

import static org.ioasis.iommufd.HwDevice.NO_PASID;

import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicInteger;
import org.ioasis.iommufd.Caller;
import org.ioasis.iommufd.Device;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdContext;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.OpenFile;
import org.ioasis.iommufd.engine.EngineDevice;
import org.ioasis.kvm.KvmVm;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.Ticker;
import org.ioasis.pci.PciFunction;
import org.ioasis.pci.VectorSink;
import org.ioasis.peer.Served;
import org.ioasis.peer.ServedDevice;
import org.ioasis.peer.ServedInfo;
import org.ioasis.peer.SessionBoundary;
import org.ioasis.peer.SharedMemory;
import org.ioasis.spec.Pci;
import org.ioasis.sys.Mapping;
import org.ioasis.vfio.VfioGroup;
import org.jspecify.annotations.Nullable;

/**
 * One PCI function that programs find under {@code /dev/vfio}: alone in its group, and one
 * program's at a time. From bind to the last close of who has bound it, it is in that program's
 * hands; before and after it is reset, hears nobody and reaches nothing.
 *
 * <p>Made before the loop runs; closed, and asked for its numbers and names, by any thread. The
 * rest is for the loop's, which answers the program too. So no access of the function runs while a
 * call is answered, and what a call takes away is gone for good when it returns.
 */
public final class AssignedDevice implements Served {
    private static final long PAGE = 4096;
    private static final long CLOSE_NANOS = 5_000_000_000L;

    private final EventLoop loop;
    private final int number;
    private final PciFunction function;
    private final EngineDevice hardware;
    private final FunctionRegions regions;
    private final Interrupts interrupts;
    private final VfioGroup group;
    private final SessionBoundary boundary = new SessionBoundary(this);
    private final ServedDevice turns;
    private final int identity;
    private final int classCode;
    private final Set<Integer> pasids = new TreeSet<>();
    private @Nullable Device bound;

    /** Whose it is while somebody uses it. */
    private @Nullable KvmVm machine;

    private @Nullable Ticker ticker;

    /** The file in which the BARs that are memory stand, and which of them do. */
    private @Nullable DeviceFile shownIn;

    private int shownBars;

    /** Descriptors of the device that are open and may use it. */
    private int users;

    /** Whoever is in the group, or else in the device's own file, keeps the other out. */
    private boolean isGroupOpen;

    private final AtomicInteger sessions = new AtomicInteger();
    private volatile boolean isBound;
    private String lastEnd = "";

    /**
     * @param number of the device and of its group
     * @param function its DMA goes through {@code hardware}
     */
    public AssignedDevice(EventLoop loop, int number, PciFunction function, EngineDevice hardware) {
        this.loop = loop;
        this.number = number;
        this.function = function;
        this.hardware = hardware;
        regions = new FunctionRegions(function);
        interrupts = new Interrupts(function);
        group = VfioGroup.of(number, List.of(hardware));
        turns = new ServedDevice(loop, function, boundary);
        identity = function.configRead(Pci.VENDOR_ID, Integer.BYTES);
        classCode = function.configRead(Pci.REVISION_ID, Integer.BYTES) >>> 8;
    }

    /** Of the device and of its group. */
    public int number() {
        return number;
    }

    /** Vendor in the low half, device in the high one. */
    public int identity() {
        return identity;
    }

    /** Base class, sub-class and programming interface. */
    public int classCode() {
        return classCode;
    }

    @Override
    public Path path() {
        return Path.of("/dev/vfio/devices/vfio" + number);
    }

    /** Where its group is. */
    public Path groupPath() {
        return Path.of("/dev/vfio/" + number);
    }

    /** How sysfs calls it: in a PCI domain that no machine has. */
    public String address() {
        return "10a5:00:%02x.0".formatted(number);
    }

    FunctionRegions regions() {
        return regions;
    }

    Interrupts interrupts() {
        return interrupts;
    }

    PciFunction function() {
        return function;
    }

    /** Opens the device's own file, which can do nothing before it is bound. */
    public OpenFile open(Caller caller) {
        assert loop.isOwnThread();
        return new DeviceFile(this, null);
    }

    /**
     * Opens its group.
     *
     * @throws IommufdException EBUSY: it is open, or the device is bound without it
     */
    public OpenFile openGroup(Caller caller) throws IommufdException {
        assert loop.isOwnThread();
        if (isGroupOpen || users > 0) {
            throw new IommufdException(Errno.EBUSY, "the group, or its device, is in use");
        }
        isGroupOpen = true;
        return new GroupFile(this);
    }

    /** Whether its DMA sees what caches hold, whatever it asks for. */
    boolean enforcesCoherency() {
        return hardware.enforcesCoherency();
    }

    /**
     * The machine that it was given to, as KVM had said before it was opened; its driver may hold
     * on to it until the device is closed. Null: nobody has opened it, or no machine's. Loop
     * thread.
     */
    public @Nullable KvmVm machine() {
        return machine;
    }

    VfioGroup group() {
        return group;
    }

    void groupClosed() {
        assert loop.isOwnThread();
        isGroupOpen = false;
    }

    boolean isGroupOpen() {
        return isGroupOpen;
    }

    /** The object of the context that it is bound to; of a container's device there is none. */
    Device bound() throws IommufdException {
        Device device = bound;
        if (device == null) {
            throw new IommufdException(Errno.EINVAL, "the device is not bound");
        }
        return device;
    }

    /**
     * A descriptor begins to use the device: the first one binds it.
     *
     * @param whose machine it is, if KVM has said so
     * @throws IommufdException it is not bound, and nothing has changed
     */
    Device use(IommufdContext context, @Nullable KvmVm whose) throws IommufdException {
        Device device = bound;
        if (device == null) {
            device = context.bind(hardware);
            bound = device;
        }
        use(whose);
        return device;
    }

    /** The same for a device whose address space is its group's container's affair. */
    void use(@Nullable KvmVm whose) {
        assert loop.isOwnThread();
        if (users++ == 0) {
            machine = whose;
            isBound = true;
            sessions.incrementAndGet();
            function.reset();
            function.vectors(interrupts::trigger);
            ticker = turns.ticker(function::needsTick);
        }
    }

    /** One does so no more: the last one unbinds it. */
    void unuse() {
        assert loop.isOwnThread();
        if (--users == 0) {
            end("closed by the program");
        }
    }

    /**
     * A file that may use the device is in the program's hands: the BARs that are memory stand in
     * it from now on, to be mapped, unless they do in another. All others reach them by calls.
     */
    void show(Caller caller, DeviceFile file) {
        assert loop.isOwnThread();
        if (shownIn != null) {
            return;
        }
        shownIn = file;
        for (int bar = 0; bar < Pci.BAR_COUNT; bar++) {
            MemorySegment window = window(caller, file, bar);
            if (window != null) {
                int shown = bar;
                shownBars |= 1 << bar;
                boundary.run(() -> function.barMemory(shown, window));
            }
        }
    }

    private @Nullable MemorySegment window(Caller caller, DeviceFile file, int bar) {
        long size = function.barSize(bar);
        return function.isBarMemory(bar) && size != 0 && size % PAGE == 0
                ? caller.window(file, FunctionRegions.offset(bar), size)
                : null;
    }

    /** A file closes: what the BARs hold is the function's own again. */
    void hide(DeviceFile file) {
        if (shownIn != file) {
            return;
        }
        shownIn = null;
        int bars = shownBars;
        shownBars = 0;
        for (int bar = 0; bar < Pci.BAR_COUNT; bar++) {
            if ((bars & 1 << bar) != 0) {
                int hidden = bar;
                boundary.run(() -> function.barMemory(hidden, null));
            }
        }
    }

    /** Whether a file shows a BAR that can be mapped. */
    boolean isShown(DeviceFile file, int bar) {
        return shownIn == file && (shownBars & 1 << bar) != 0;
    }

    private void end(String why) {
        if (!isBound) {
            return;
        }
        isBound = false;
        machine = null;
        lastEnd = why;
        Ticker last = ticker;
        if (last != null) {
            last.cancel();
            ticker = null;
        }
        // First nothing new begins, then nobody hears of it, then it reaches nothing.
        quiet();
        function.vectors(VectorSink.NONE);
        interrupts.clear();
        Device device = bound;
        if (device != null) {
            for (int pasid : pasids) {
                device.detach(pasid);
            }
            pasids.clear();
            device.detach(NO_PASID);
            device.unbind();
            bound = null;
        }
    }

    /** Resets the function; its memory may be gone, which matters no more. */
    private void quiet() {
        try {
            function.reset();
            Mapping.raiseLate();
        } catch (InternalError e) {
            lastEnd = SharedMemory.GONE + e.getMessage();
        }
    }

    /**
     * Attaches what is bound, or moves it.
     *
     * @return the id of the page table
     */
    int attach(int id, int pasid) throws IommufdException {
        assert loop.isOwnThread();
        Device device = bound();
        int table =
                device.attached(pasid) == null
                        ? device.attach(id, pasid)
                        : device.replace(id, pasid);
        if (pasid != NO_PASID) {
            pasids.add(pasid);
        }
        // Whatever becomes of the session, it is attached.
        boundary.run(function::memoryChanged);
        return table;
    }

    /** Its DMA is blocked. */
    void detach(int pasid) throws IommufdException {
        assert loop.isOwnThread();
        bound().detach(pasid);
        pasids.remove(pasid);
    }

    /**
     * As a function-level reset that the kernel does for a program: what it had written to the
     * header stands there afterwards (pci_dev_save_and_disable, pci_dev_restore).
     */
    void reset() {
        assert loop.isOwnThread();
        int[] header = new int[Pci.HEADER_END / Integer.BYTES];
        for (int i = 0; i < header.length; i++) {
            header[i] = function.configRead(i * Integer.BYTES, Integer.BYTES);
        }
        function.reset();
        for (int i = 0; i < header.length; i++) {
            if (i * Integer.BYTES != Pci.COMMAND) {
                function.configWrite(i * Integer.BYTES, Integer.BYTES, header[i]);
            }
        }
        function.configWrite(Pci.COMMAND, Short.BYTES, header[Pci.COMMAND / Integer.BYTES]);
    }

    /** Memory of the program was cut short under the function: what it was at is over. */
    void memoryGone(InternalError e) {
        boundary.failed(e);
    }

    /** The program keeps its descriptors; the function is reset and does nothing by itself. */
    @Override
    public void endSession(String why) {
        assert loop.isOwnThread();
        quiet();
        lastEnd = why;
    }

    @Override
    public boolean hasSession() {
        return isBound;
    }

    @Override
    public int sessionCount() {
        return sessions.get();
    }

    @Override
    public ServedInfo info() {
        assert loop.isOwnThread();
        return new ServedInfo(
                path(), isBound, sessions.get(), 0, 0, 0, 0, 0, false, 0, 0, 0, 0, "none", lastEnd);
    }

    @Override
    public void close() {
        boolean _ = loop.executeAndWait(() -> end("server closed"), CLOSE_NANOS);
    }
}
