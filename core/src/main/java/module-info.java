// SPDX-License-Identifier: Apache-2.0
/** The IOMMU engine and the virtio devices on it. Knows no socket, no file descriptor, no VMM. */
module org.ioasis.core {
    requires static transitive org.jspecify;
    requires jdk.jfr;

    // What is exported to all is the API; docs/embedding.md lists it.
    exports org.ioasis.dma;
    exports org.ioasis.iommu;
    exports org.ioasis.iommu.fault;
    exports org.ioasis.iommu.iotlb to
            org.ioasis.app,
            org.ioasis.compare,
            org.ioasis.host;
    exports org.ioasis.iommu.mapping;
    exports org.ioasis.iommu.pagetable;
    exports org.ioasis.iommu.pagetable.format;
    exports org.ioasis.iommu.pagetable.smmuv3 to
            org.ioasis.compare,
            org.ioasis.host;
    exports org.ioasis.iova;
    exports org.ioasis.memory;
    exports org.ioasis.spec;
    exports org.ioasis.virtio;
    exports org.ioasis.virtio.blk;
    exports org.ioasis.virtio.driver;
    exports org.ioasis.virtio.iommu;
    exports org.ioasis.virtio.iommu.driver;
    exports org.ioasis.virtio.net;
    exports org.ioasis.virtio.rng;
    exports org.ioasis.virtio.rogue to
            org.ioasis.app,
            org.ioasis.compare,
            org.ioasis.look,
            org.ioasis.machine;
    exports org.ioasis.virtqueue;
}
