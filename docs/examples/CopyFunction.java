// SPDX-License-Identifier: Apache-2.0
import module org.ioasis.core;
import module org.ioasis.server;
import java.lang.foreign.*;

/** A PCI function of one's own: the driver writes source and target to BAR 0, and 64 bytes are copied by DMA. */
class CopyFunction implements PciFunction {
    private final Dma dma; // the only way to memory: what the IOMMU refuses is not reached
    private final MemorySegment buffer = MemorySegment.ofArray(new byte[64]);
    private long source, status;
    CopyFunction(Dma dma) { this.dma = dma; }

    public void barWrite(int bar, long offset, int size, long value) {
        if (offset == 0) { source = value; return; }
        dma.enter();
        try {
            Outcome read = dma.read(source, buffer, 0, 64);
            status = (read == Outcome.OK ? dma.write(value, buffer, 0, 64) : read).ordinal();
        } finally { dma.leave(); }
    }
    public long barRead(int bar, long offset, int size) { return status; }
    public long barSize(int bar) { return bar == 0 ? 4096 : 0; }
    public int configRead(int offset, int size) { return offset == 0 ? 0x1234_1af4 : 0; }
    public void configWrite(int offset, int size, int value) {}
    public int vectorCount() { return 0; }
    public void vectors(VectorSink sink) {}
    public void vectorsChanged() {}
    public void reset() { status = 0; }
    public void memoryChanged() {}

    public static void main(String[] args) {
        Guards guards = new Guards(System::nanoTime, lease -> {});
        Iommu iommu = new Iommu(IommuOptions.DEFAULT, guards, new FaultQueue(64, 256, System::nanoTime), IntervalStore::new);
        Endpoint endpoint = iommu.plug(0x10, EndpointProperties.UNLIMITED);
        GuestMemory memory = new GuestMemory(guards, 16); // a VfioUserServer fills it with what the VMM shares
        MemorySegment ram = Arena.ofAuto().allocate(1 << 20);
        memory.add(new Region(0, (1 << 20) - 1, ram, true, null));
        PciFunction function = new CopyFunction(iommu.dma(endpoint, memory, guards.open()));
        PagingDomain domain = iommu.pagingDomain(1);
        iommu.attach(endpoint.attachment(), domain, status -> System.out.println("attach: " + status));
        domain.map(0x8000_0000L, 0x8000_0fffL, 0x4000, MapFlags.READ | MapFlags.WRITE, status -> System.out.println("map: " + status));
        ram.setString(0x4000, "hello");
        function.barWrite(0, 0, 8, 0x8000_0000L);
        function.barWrite(0, 8, 8, 0x8000_0100L); // IOVA 0x80000100 is guest-physical 0x4100
        System.out.println("copied: " + ram.getString(0x4100));
        function.barWrite(0, 8, 8, 0x4200); // a guest-physical address is no IOVA
        System.out.println("not mapped: " + Outcome.values()[(int) function.barRead(0, 0, 4)] + ", " + iommu.faults().recent());
    }
}
