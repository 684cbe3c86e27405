// SPDX-License-Identifier: Apache-2.0
import module org.ioasis.core;
import java.lang.foreign.*;

/** An IOMMU over memory of one's own: one access of a device through a mapping, and one that is refused. */
class FirstDma {
    public static void main(String[] args) {
        MemorySegment ram = Arena.ofAuto().allocate(0x10000), buffer = MemorySegment.ofArray(new byte[6]);
        Guards guards = new Guards(System::nanoTime, lease -> {}); // accesses that an UNMAP waits for
        GuestMemory memory = new GuestMemory(guards, 1);
        memory.add(new Region(0, 0xffff, ram, true, null));

        Iommu iommu = new Iommu(IommuOptions.DEFAULT, guards, new FaultQueue(64, 256, System::nanoTime), IntervalStore::new);
        Endpoint endpoint = iommu.plug(7, EndpointProperties.UNLIMITED);
        PagingDomain domain = iommu.pagingDomain(1);
        iommu.attach(endpoint.attachment(), domain, status -> System.out.println("attach: " + status));
        domain.map(0x8000, 0x8fff, 0x4000, MapFlags.READ, status -> System.out.println("map: " + status));

        ram.setString(0x4000, "hello");
        Dma dma = iommu.dma(endpoint, memory, guards.open());
        dma.enter();
        System.out.println("read: " + dma.read(0x8000, buffer, 0, 6) + " " + buffer.getString(0));
        System.out.println("write: " + dma.write(0x8000, buffer, 0, 6)); // the mapping is for reading
        dma.leave(); // the fault is reported when the section ends
        System.out.println(iommu.faults().recent());
    }
}
