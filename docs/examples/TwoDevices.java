// SPDX-License-Identifier: Apache-2.0
import module org.ioasis.host;
import static org.ioasis.iommufd.HwDevice.NO_PASID;
import static org.ioasis.spec.Iommufd.*;

import java.lang.foreign.*;
import org.ioasis.iommu.fault.FaultQueue;

/** Two devices on one address space of I/O: one reads what the other has written, until it is replaced to another. */
class TwoDevices {
    public static void main(String[] args) throws IommufdException {
        IommufdNode node = IommufdNode.builder().build(); // what stands at /dev/iommu
        Guards guards = new Guards(System::nanoTime, lease -> {}); // accesses that an unmap waits for
        FaultQueue faults = new FaultQueue(64, 256, System::nanoTime);
        EngineIommu iommu = new EngineIommu(node, IommuOptions.DEFAULT, guards, faults, IntervalStore::new);
        EngineDevice camera = iommu.plug(1, EndpointProperties.UNLIMITED);
        EngineDevice encoder = iommu.plug(2, EndpointProperties.UNLIMITED);

        IommufdContext context = node.openContext(); // as open("/dev/iommu") does
        Device boundCamera = context.bind(camera), boundEncoder = context.bind(encoder);
        Ioas shared = context.allocateIoas(), other = context.allocateIoas();
        Owner self = new Owner(new SegmentMemory(0x10000, Arena.ofAuto().allocate(0x10000, 4096)), false);
        long iova = shared.map(self, 0x10000, 0x10000, MAP_READABLE | MAP_WRITEABLE, 0);
        boundCamera.attach(shared.id(), NO_PASID);
        boundEncoder.attach(shared.id(), NO_PASID);

        Dma write = camera.dma(guards.open()), read = encoder.dma(guards.open());
        MemorySegment picture = MemorySegment.ofArray("picture\0".getBytes()), buffer = MemorySegment.ofArray(new byte[8]);
        write.enter();
        System.out.println("camera: " + write.write(iova, picture, 0, 8));
        write.leave();
        read.enter();
        System.out.println("encoder: " + read.read(iova, buffer, 0, 8) + " " + buffer.getString(0));
        read.leave();

        boundEncoder.replace(other.id(), NO_PASID);
        read.enter();
        System.out.println("replaced: " + read.read(iova, buffer, 0, 8));
        read.leave(); // the fault is reported when the section ends
        System.out.println(faults.recent());
        System.out.println("held: " + node.heldPages() + " pages, unmapped: " + shared.unmap(iova, 0x10000));
        for (Device device : new Device[] {boundCamera, boundEncoder}) {
            device.detach(NO_PASID);
            device.unbind();
        }
        context.release(); // and what is left in it goes
    }
}
