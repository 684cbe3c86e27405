// SPDX-License-Identifier: Apache-2.0
import module org.ioasis.core;
import module org.ioasis.host;
import java.lang.foreign.*;
import java.util.*;

/** A mediated device that keeps no table of its pins: what a command has pinned is parsed from its stream of commands. */
class MediatedCopy implements MediatedDevice.User {
    record Command(long iova, long address, byte value) {} // where the guest and where the device sees its byte

    final ArrayDeque<Command> stream = new ArrayDeque<>();
    MediatedDevice way;

    void submit(long iova, int value) throws IommufdException {
        long[] page = new long[1];
        way.pin(iova & -4096, false, true, page);
        stream.add(new Command(iova, page[0] | iova & 4095, (byte) value));
    }

    void run() throws IommufdException {
        for (Command next; (next = stream.poll()) != null; way.unpin(next.iova & -4096, 1)) {
            way.copy(next.iova, MemorySegment.ofArray(new byte[] {next.value}), true);
        }
    }

    public void unmap(long iova, long length) { // those that use what goes end without effect
        stream.removeIf(one -> Ranges.holds(iova, iova + length - 1, one.iova) && way.unpin(one.iova & -4096, 1) == 1);
    }

    public static void main(String[] args) throws IommufdException {
        MemorySegment bytes = Arena.ofAuto().allocate(0x8000, 4096);
        Owner owner = new Owner(new SegmentMemory(1L << 32, bytes), false);
        IommufdNode node = IommufdNode.builder().build();
        VfioContainer container = new VfioContainer(List.of(new Type1Kind(node)));
        VfioGroup group = VfioGroup.mediated(0);
        group.setContainer(container);
        container.setIommu(VfioType1.TYPE1V2_IOMMU);
        Type1 type1 = (Type1) group.opened();
        type1.map(owner, 1L << 32, 0x10000, 0x8000, VfioType1.MAP_FLAG_READ | VfioType1.MAP_FLAG_WRITE);
        MediatedCopy device = new MediatedCopy();
        device.way = type1.open(group, device);
        device.submit(0x10004, 42);
        device.submit(0x12008, 43);
        System.out.println("pinned: " + node.heldPages());
        device.run();
        System.out.println("written: " + bytes.get(ValueLayout.JAVA_BYTE, 4) + " " + bytes.get(ValueLayout.JAVA_BYTE, 0x2008));
        device.submit(0x13000, 44);
        System.out.println("unmapped: " + type1.unmap(0x10000, 0x8000, null) + ", pinned: " + node.heldPages());
    }
}
