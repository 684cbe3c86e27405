// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kvm;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommufd.OpenFile;
import org.jspecify.annotations.Nullable;

/** Files that stand for groups of VFIO, with a mediated device in each. One thread. */
final class FakeVfio implements VfioSymbols {
    /** A file with nothing but a name. */
    static class Plain implements OpenFile {
        private final String name;

        Plain(String name) {
            this.name = name;
        }

        @Override
        public Form form() {
            return Form.DEVICE;
        }

        @Override
        public String name() {
            return name;
        }

        @Override
        public void release() {}
    }

    /** A group: open while it has a descriptor or a holder. */
    static final class Group extends Plain implements VfioFile {
        final boolean enforcesCoherency;
        final List<String> calls = new ArrayList<>();
        @Nullable KvmVm machine;
        int holders;
        boolean isOpen = true;

        Group(String name, boolean enforcesCoherency) {
            super(name);
            this.enforcesCoherency = enforcesCoherency;
        }

        /** Opens its device: the driver takes the machine that there is now. */
        @Nullable KvmVm openDevice() {
            calls.add("open");
            return machine;
        }

        boolean exists() {
            return isOpen || holders > 0;
        }

        @Override
        public void release() {
            isOpen = false;
        }

        @Override
        public void hold() {
            calls.add("hold");
            holders++;
        }

        @Override
        public void drop() {
            calls.add("drop");
            holders--;
        }

        @Override
        public boolean enforcesCoherency() {
            return enforcesCoherency;
        }

        @Override
        public void machine(@Nullable KvmVm value) {
            calls.add(value == null ? "no machine" : "machine");
            machine = value;
        }
    }

    @Override
    public @Nullable VfioFile find(OpenFile file) {
        return file instanceof Group group ? group : null;
    }
}
