// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/** The file by which programs name a {@link RevocableBuffer}. Any thread. */
public final class BufferFile implements OpenFile {
    private final RevocableBuffer buffer;

    public BufferFile(RevocableBuffer buffer) {
        this.buffer = buffer;
    }

    public RevocableBuffer buffer() {
        return buffer;
    }

    @Override
    public Form form() {
        return Form.MEMORY;
    }

    @Override
    public String name() {
        return "buffer";
    }

    @Override
    public void release() {
        // Mappings keep the buffer.
    }
}
