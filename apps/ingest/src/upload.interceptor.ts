/**
 * Reads an image that comes over HTTP: after the guards have said who sends it, and once there is room for what its head
 * says that it has. Of whoever is refused, nothing is held.
 */
import type { IncomingMessage } from 'node:http';
import {
  BadRequestException,
  Inject,
  Injectable,
  PayloadTooLargeException,
  UnsupportedMediaTypeException,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import type { Request, Response } from 'express';
import { from, lastValueFrom, type Observable } from 'rxjs';
import { Failure } from '#domain/errors.js';
import { UploadLimit } from './upload-limit.js';

@Injectable()
export class UploadInterceptor implements NestInterceptor {
  constructor(@Inject(UploadLimit) private readonly limit: UploadLimit) {}

  /** @throws HttpException 400, 413, 415; Failure UPLOADS_BUSY */
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const http = context.switchToHttp();
    return from(this.take(http.getRequest<Request>(), http.getResponse<Response>(), next));
  }

  private async take(request: Request, response: Response, next: CallHandler): Promise<unknown> {
    const bytes = this.announcedBytes(request);
    try {
      return await this.limit.run(bytes, async () => {
        request.body = await this.read(request);
        return lastValueFrom(next.handle() as Observable<unknown>);
      });
    } catch (error) {
      // What is sent nevertheless is not read.
      if (error instanceof Failure && error.code === 'UPLOADS_BUSY') response.setHeader('Connection', 'close');
      throw error;
    }
  }

  /** What it says that it has, or the most that it may have where it does not say. */
  private announcedBytes({ headers }: IncomingMessage): number {
    // One that is unpacked here may be a thousand times as large as it says.
    if ((headers['content-encoding'] ?? 'identity').toLowerCase() !== 'identity') {
      throw new UnsupportedMediaTypeException('Send the image as it is, without a content encoding.');
    }
    const said = headers['content-length'];
    if (said === undefined) return headers['transfer-encoding'] === undefined ? 0 : this.limit.bodyBytesMax;
    // Node has refused what is no number.
    if (Number(said) > this.limit.bodyBytesMax) throw this.tooLarge();
    return Number(said);
  }

  private async read(request: IncomingMessage): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    try {
      // Destroyed, it could not be answered.
      for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > this.limit.bodyBytesMax) break;
        chunks.push(chunk);
      }
    } catch (cause) {
      throw new BadRequestException('The upload was cut off.', { cause });
    }
    if (bytes > this.limit.bodyBytesMax) {
      // Read and forgotten: whoever still sends would not see the answer.
      request.resume();
      throw this.tooLarge();
    }
    return Buffer.concat(chunks);
  }

  private tooLarge(): PayloadTooLargeException {
    return new PayloadTooLargeException(`An image has at most ${this.limit.bodyBytesMax} bytes.`);
  }
}
