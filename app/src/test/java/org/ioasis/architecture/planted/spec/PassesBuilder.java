// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture.planted.spec;

/** Calls a constructor that only a builder should. */
final class PassesBuilder {
    record Options(int one, int two) {
        static final class Builder {
            Options build() {
                return new Options(1, 2);
            }
        }
    }

    private PassesBuilder() {}

    static Options options() {
        return new Options(2, 1);
    }
}
