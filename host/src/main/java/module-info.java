// SPDX-License-Identifier: Apache-2.0
/**
 * Object models of the host side. Knows no Linux call: files and memory of programs are handed in.
 */
module org.ioasis.host {
    requires static transitive org.jspecify;
    requires transitive org.ioasis.core;

    exports org.ioasis.amd;
    exports org.ioasis.assigned;
    exports org.ioasis.ioasid;
    exports org.ioasis.iommufd;
    exports org.ioasis.iommufd.engine;
    exports org.ioasis.iommufd.mock;
    exports org.ioasis.kvm;
    exports org.ioasis.smmuv3;
    exports org.ioasis.spapr;
    exports org.ioasis.vfio;
    exports org.ioasis.vfio.tracker;
    exports org.ioasis.vtd;

    uses org.ioasis.kvm.VfioSymbols;
}
